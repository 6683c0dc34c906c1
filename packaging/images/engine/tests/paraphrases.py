"""Passages, questions about them in other words, and documents around them."""

PAIRS = (
    ("The feline slept on the warm windowsill all afternoon.", "Where did the cat nap?"),
    (
        "The physician prescribed antibiotics for the boy's ear infection.",
        "What did the doctor give the child?",
    ),
    ("Our automobile broke down on the motorway near Leeds.", "Where did the car stop working?"),
    (
        "The firm dismissed two hundred employees in March.",
        "When were workers laid off by the company?",
    ),
    ("A blaze destroyed the old library during the night.", "Which building burned down?"),
    ("The infant began to weep when the lights went out.", "Why was the baby crying?"),
    (
        "Purchase of the house was financed by a loan from a credit union.",
        "How was the home paid for?",
    ),
    (
        "The instructor postponed the exam until Friday.",
        "What day did the teacher move the test to?",
    ),
    ("Heavy rain made the river overflow its banks.", "What caused the flood?"),
    ("The vessel sank after it struck an iceberg.", "How was the ship lost?"),
)

_SUBJECTS = (
    "The committee", "A gardener", "The orchestra", "My neighbour", "The printer", "An engineer",
    "The museum", "A baker", "The council", "Our accountant",
)  # fmt: skip
_DEEDS = (
    "published the minutes of the annual meeting on the notice board.",
    "measured the length of the bridge twice before writing the report.",
    "ordered new paper, ink and envelopes for the spring season.",
    "explained how tulips, roses and ferns should be watered.",
    "compared three suppliers of steel and chose the second one.",
)
DISTRACTORS = tuple(f"{subject} {deed}" for subject in _SUBJECTS for deed in _DEEDS)

OFF_TOPIC = (
    "What is the melting point of tungsten?",
    "Who won the football world cup in 1998?",
    "How do I configure a kernel module for bluetooth?",
)
