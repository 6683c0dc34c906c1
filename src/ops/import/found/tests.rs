use super::*;

fn table(name: &str, dimension: Option<u32>) -> Table {
    Table { schema: "public".into(), name: name.into(), by_workspace: true, dimension }
}

/// An index of a model of four dimensions, in the workspace `default`.
fn found() -> Found {
    let chunks = "lightrag_vdb_chunks_small_model_4d";
    let label = Label {
        graph: "g".into(),
        name: "base".into(),
        id: 3,
        kind: "v".into(),
        table: "base".into(),
        sequence: "base_id_seq".into(),
    };
    Found {
        look: Look {
            major: 17,
            extensions: vec!["age".into(), "vector".into()],
            graphs: true,
            tables: vec![table("lightrag_doc_status", None), table(chunks, Some(4))],
        },
        documents: [("default".to_owned(), 3)].into(),
        vectors: [(chunks.to_owned(), [("default".to_owned(), 9)].into())].into(),
        labels: vec![label],
        model: None,
        index: None,
        files: true,
    }
}

fn wanted() -> Wanted {
    Wanted {
        name: "a".parse().unwrap(),
        workspace: "default".into(),
        model: Model { name: "Small-Model".into(), dimension: 4 },
    }
}

#[test]
fn an_index_of_the_same_model_is_taken() {
    let plan = judge(&found(), &wanted()).unwrap();
    let graphs = vec!["g".to_owned()];
    let expected = Plan { workspace: "default".into(), documents: 3, graphs, notes: vec![] };
    assert_eq!(plan, expected);
    // A workspace that ragpod's engine noted needs no setting.
    let mut moved = found();
    moved.index = Some("index2".into());
    moved.documents = [("index2".to_owned(), 2)].into();
    assert_eq!(judge(&moved, &wanted()).unwrap().documents, 2);
}

#[test]
fn another_model_is_refused_with_what_to_set() {
    let mut other = wanted();
    other.model.dimension = 8;
    let e = judge(&found(), &other).unwrap_err();
    assert_eq!(e.kind, Kind::Manifest);
    assert!(e.hints()[0].contains("embedding_dim = 4"), "{e:?}");
    let mut known = found();
    known.model = Some(Model { name: "small-model".into(), dimension: 4 });
    let e = judge(&known, &other).unwrap_err();
    assert!(e.hints()[0].contains("embedding_model = \"small-model\""), "{e:?}");
}

#[test]
fn tables_of_an_earlier_lightrag_go_by_their_dimension() {
    let mut early = found();
    early.look.tables[1].name = "lightrag_vdb_chunks".into();
    early.vectors = [("lightrag_vdb_chunks".to_owned(), [("default".to_owned(), 9)].into())].into();
    assert!(judge(&early, &wanted()).unwrap().notes[0].contains("taken for those of Small-Model"));
    early.look.tables[1].dimension = Some(5);
    assert_eq!(judge(&early, &wanted()).unwrap_err().kind, Kind::Manifest);
}

#[test]
fn another_workspace_is_refused_with_what_to_set() {
    let mut other = wanted();
    other.workspace = "minutes".into();
    let e = judge(&found(), &other).unwrap_err();
    assert_eq!(e.kind, Kind::Manifest);
    assert!(e.hints()[0].contains("WORKSPACE = \"default\""), "{e:?}");
}

#[test]
fn what_is_no_index_or_an_empty_one_is_refused() {
    let mut none = found();
    none.look.tables = vec![table("accounts", None)];
    let e = judge(&none, &wanted()).unwrap_err();
    assert!(e.message.contains("no index") && e.causes[0].contains("accounts"), "{e:?}");
    let mut empty = found();
    empty.documents.clear();
    assert!(judge(&empty, &wanted()).unwrap_err().message.contains("no documents"));
    let mut newer = found();
    newer.look.major = 18;
    assert!(judge(&newer, &wanted()).unwrap_err().message.contains("PostgreSQL 18"));
}

#[test]
fn what_stays_behind_is_listed() {
    let mut more = found();
    more.files = false;
    more.look.extensions.push("postgis".into());
    more.look.tables.push(table("accounts", None));
    more.look.tables.push(Table { schema: "g".into(), ..table("base", None) });
    more.documents.insert("other".into(), 1);
    let notes = judge(&more, &wanted()).unwrap().notes.join("\n");
    for part in ["workspace other", "postgis", "public.accounts", "all files in anew"] {
        let found = notes.replace('\n', " ").contains(part);
        assert!(found, "{part}: {notes}");
    }
    assert!(!notes.contains("g.base"), "{notes}");
}
