//! Parquet: that it means what the same table means as text; what is refused; and what a build without it says.
use super::*;
#[cfg(feature = "parquet")]
use {crate::data::Targets, proptest::prelude::*};

#[cfg(feature = "parquet")]
fn vectors() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/data/parquet/vectors")
}

#[cfg(feature = "parquet")]
fn source(train: &str, more: &str) -> Parquet {
    let numbers = ["age", "gain", "part", "paid", "int8", "uint16", "uint64"].map(|name| {
        let transform = if name == "gain" { "transform = 'log'\n" } else { "" };
        format!("[[features]]\nname = '{name}'\nkind = 'numeric'\nrange = [-7, 300]\nbuckets = [0.1, 8]\ndefault = 5\n{transform}")
    });
    let days = ["seen", "at ms", "at us", "at ns"].map(|name| {
        format!(
            "[[features]]\nname = '{name}'\nkind = 'date'\nrange = [1960-01-01, 2030-01-01]\ndefault = 2000-01-01\n"
        )
    });
    let words = [("work", "'x', 'z ä'"), ("member", "'true', 'false'")].map(|(name, all)| {
        format!("[[features]]\nname = '{name}'\nkind = 'categorical'\ncategories = [{all}]\nother = true\n")
    });
    let features = [numbers.concat(), days.concat(), words.concat()].concat();
    toml::from_str(&format!(
        "train = '{train}'\nexamples = 5\n{more}{features}[target]\nname = 'rich'\nclasses = ['no', 'yes']\n"
    ))
    .unwrap()
}

/// `vectors/make.py`: one table as pyarrow writes it, in three codecs, two versions and several groups, and as text.
#[cfg(feature = "parquet")]
#[test]
fn a_table_means_the_same_as_text() {
    let read = |name: &str| source(name, "").load(&vectors()).unwrap().train;
    let (text, all) = (read("table.csv"), [0, 1, 2, 3, 4]);
    let expected = text.gather(&all);
    assert_eq!(expected.n, 5);
    for name in ["snappy.parquet", "zstd.parquet", "gzip.parquet"] {
        let table = read(name);
        assert_eq!((table.len(), table.feature_names()), (5, text.feature_names()));
        let batch = table.gather(&all);
        assert_eq!(batch.inputs, expected.inputs, "{name}");
        assert!(matches!(batch.targets, Targets::Classes { labels, .. } if labels == [0, 1, 0, 0, 1]));
        let asked = source(name, "").ask(Path::new(""), &vectors().join(name)).unwrap();
        assert_eq!(asked.gather(&all).inputs, expected.inputs);
    }
}

#[cfg(feature = "parquet")]
#[test]
fn what_is_wrong_is_named_and_not_shown() {
    let refused = |from: &str, to: &str| {
        let text = toml::to_string(&source("snappy.parquet", "")).unwrap();
        assert!(text.contains(from), "{text}");
        let error =
            toml::from_str::<Parquet>(&text.replace(from, to)).unwrap().load(&vectors()).unwrap_err().to_string();
        assert!(!error.contains("z ä"), "{error}");
        error
    };
    assert!(refused("\"work\"", "\"tags\"").contains("snappy.parquet: column `tags` is nested"));
    assert!(refused("\"work\"", "\"Work\"").contains("no column `Work` (but one that differs in capitals)"));
    assert!(refused("header = true", "header = false").contains("data.header: is for text"));
    let error = refused("categories = [\"x\", \"z ä\"]\nother = true", "categories = ['x', 'y']");
    assert!(error.contains("snappy.parquet, row 4, column `work`: the cell is missing"), "{error}");
    let error = source("none.parquet", "").load(&vectors()).unwrap_err().to_string();
    assert!(error.contains("--data-dir"), "{error}");
}

#[cfg(feature = "parquet")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_bytes_panic(which in 0usize..3, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
                      cut in prop::option::weighted(0.2, any::<prop::sample::Index>())) {
        let name = ["snappy.parquet", "zstd.parquet", "gzip.parquet"][which];
        let mut bytes = std::fs::read(vectors().join(name)).unwrap();
        for (at, byte) in &changes {
            let at = at.index(bytes.len() - 4) + 4;
            bytes[at] = *byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let table = source(name, "");
        if let Ok(read) = table.0.parse(Path::new("t"), &bytes) {
            prop_assert!(!read.is_empty());
        }
    }
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_it_says_how_to_get_it() {
    let text = "train = 'a'\nexamples = 1\n[[features]]\nname = 'x'\nkind = 'numeric'\nrange = [0, 1]\n[target]\nname = 'y'\n\
                range = [0, 1]\n";
    let table: Parquet = toml::from_str(text).unwrap();
    let error = table.0.parse(Path::new("t.parquet"), b"PAR1...").unwrap_err().to_string();
    assert!(error.contains("t.parquet: is a Parquet file") && error.contains("--features parquet"), "{error}");
}
