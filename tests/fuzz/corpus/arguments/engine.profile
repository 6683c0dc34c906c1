engine.profile="a\u00e4"
