use proptest::prelude::*;

use super::*;
use crate::manifest;

const WORK: &str = r#"[instance]
name = "work"
[provider]
kind = "azure"
base_url = "https://example.services.ai.azure.com/"
llm_model = "gpt-4.1-mini"
embedding_model = "text-embedding-3-small"
embedding_dim = 1536
api_key = { secret = "api-key" }
[[source]]
path = "/home/ann/code"
pattern = "**/*.md"
[[source]]
path = "/srv/wiki & more"
[[source]]
path = "/home/ann"
[egress]
mode = "allow"
allow = ["example.services.ai.azure.com:443", "proxy.example:8443"]
"#;

fn drawn(text: &str) -> Drawn {
    let home = Utf8Path::new("/home/ann");
    let name = text.split('"').nth(1).unwrap();
    Drawn::new(&manifest::parse(text, &format!("{name}.toml"), home).unwrap(), home)
}

fn some() -> Vec<Drawn> {
    let open = "[instance]\nname = \"lab\"\n[egress]\nmode = \"open\"\n";
    let notes = "[instance]\nname = \"notes\"\n[[source]]\npath = \"/home/ann/notes\"\n";
    [open, notes, WORK].map(drawn).into()
}

#[test]
fn as_text() {
    insta::assert_snapshot!(text(&some()));
    assert_eq!(text(&[]).lines().count(), LEGEND.len());
}

#[test]
fn as_svg() {
    let text = svg(&some());
    insta::assert_snapshot!(text);
    let document = roxmltree::Document::parse(&text).unwrap();
    let texts: Vec<&str> = document.descendants().filter_map(|n| n.text()).collect();
    for name in ["lab (lightrag, offline)", "/srv/wiki & more", "proxy.example:8443", NOWHERE] {
        assert!(texts.contains(&name), "{name}");
    }
    roxmltree::Document::parse(&svg(&[])).unwrap();
}

/// Everything is in the picture: nothing sticks out to the right or below.
#[test]
fn nothing_sticks_out() {
    let text = svg(&some());
    let document = roxmltree::Document::parse(&text).unwrap();
    let number = |n: &roxmltree::Node<'_, '_>, key: &str| -> f64 {
        n.attribute(key).map_or(0.0, |v| v.parse().unwrap())
    };
    let root = document.root_element();
    let (w, h) = (number(&root, "width"), number(&root, "height"));
    for node in root.descendants() {
        match node.tag_name().name() {
            "rect" => {
                assert!(number(&node, "x") + number(&node, "width") <= w, "{node:?}");
                assert!(number(&node, "y") + number(&node, "height") <= h, "{node:?}");
            }
            "text" => {
                #[allow(clippy::cast_precision_loss)] // Labels are short.
                let wide = width(node.text().unwrap_or_default()) as f64 * 6.6;
                assert!(number(&node, "x") + wide <= w, "{node:?}");
                assert!(number(&node, "y") <= h, "{node:?}");
            }
            _ => {}
        }
    }
}

const SVG: &str = "http://www.w3.org/2000/svg";

/// A text as XML can hold it, in one line.
fn shown(text: &str) -> String {
    let one = |c: char| match c {
        '\t' | '\n' | '\r' => ' ',
        c if c.is_control() || ['\u{fffe}', '\u{ffff}'].contains(&c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(one).collect()
}

proptest! {
    /// Whatever the texts are, the document is one, and has them and no element more.
    #[test]
    fn any_text_is_text(name in any::<String>(), source in any::<String>(), target in ".*") {
        let one = Drawn {
            name,
            engine: "e".into(),
            sources: vec![source, "</text><script>1</script>".into(), "\u{0}\u{1b}]]>&".into()],
            network: "n".into(),
            way: Way::Allowed("g".into(), vec![target]),
        };
        let sources = one.sources.clone();
        let (name, target) = match &one.way {
            Way::Allowed(_, targets) => (one.name.clone(), targets[0].clone()),
            _ => unreachable!(),
        };
        let text = svg(std::slice::from_ref(&one));
        let document = roxmltree::Document::parse(&text).unwrap();
        let plain = Drawn {
            name: "a".into(),
            sources: vec!["b".into(), "c".into(), "d".into()],
            way: Way::Allowed("g".into(), vec!["t".into()]),
            ..one
        };
        let other = svg(std::slice::from_ref(&plain));
        let other = roxmltree::Document::parse(&other).unwrap();
        // Numbers are places and sizes, which go with the texts.
        let tame = |value: &str| value.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        let elements = |d: &roxmltree::Document<'_>| -> Vec<(String, Vec<(String, String)>)> {
            d.descendants()
                .filter(roxmltree::Node::is_element)
                .map(|n| {
                    let of = |a: roxmltree::Attribute<'_, '_>| (a.name().to_owned(), tame(a.value()));
                    (n.tag_name().name().to_owned(), n.attributes().map(of).collect())
                })
                .collect()
        };
        prop_assert_eq!(elements(&document), elements(&other));
        let texts: Vec<&str> = document
            .descendants()
            .filter(|n| n.has_tag_name((SVG, "text")))
            .map(|n| n.text().unwrap_or_default())
            .collect();
        for wanted in sources.iter().chain([&format!("{name} (e)"), &target]).map(|text| shown(text)) {
            prop_assert!(texts.contains(&wanted.as_str()), "no {wanted:?} in {texts:?}");
        }
    }
}
