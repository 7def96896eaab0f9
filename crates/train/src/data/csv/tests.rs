//! Tables: what is read, what is refused, and that no message tells a cell.

use super::super::{DataConfig, Kind, Targets};
use super::*;
use proptest::prelude::*;

const SCHEMA: &str = r#"
train = "train.csv"
examples = 3
missing = "?"
[[features]]
name = "age"
kind = "numeric"
range = [0, 100]
buckets = [20, 40]
default = 50
[[features]]
name = "gain"
kind = "numeric"
range = [0, 99]
transform = "log"
scale = [-1, 1]
[[features]]
name = "work"
kind = "categorical"
categories = ["x", "y"]
[[features]]
name = "age by work"
kind = "cross"
of = ["age", "work"]
[target]
name = "rich"
classes = ["no", "yes"]
"#;

fn schema() -> Csv {
    toml::from_str(SCHEMA).unwrap()
}

/// What a changed schema says, at whatever stage it is refused.
fn refused(from: &str, to: &str) -> String {
    assert!(SCHEMA.contains(from));
    match toml::from_str::<Csv>(&SCHEMA.replacen(from, to, 1)) {
        Ok(csv) => csv.parse(Path::new("t.csv"), b"age,gain,work,rich\n1,1,x,no\n").unwrap_err().to_string(),
        Err(e) => e.to_string(),
    }
}

fn read(text: &str) -> Result<Examples, String> {
    schema().parse(Path::new("t.csv"), text.as_bytes()).map_err(|e| e.to_string())
}

#[test]
fn rows_become_the_declared_inputs() {
    let x = read("rich,work,gain,age\nno, x ,0,30\nyes,\"y\",500,-5\nno,x,9,?\n").unwrap();
    let names = [
        "age",
        "age < 20",
        "20 <= age < 40",
        "age >= 40",
        "age is missing",
        "gain",
        "work = x",
        "work = y",
        "age < 20 & work = x",
        "age < 20 & work = y",
        "20 <= age < 40 & work = x",
        "20 <= age < 40 & work = y",
        "age >= 40 & work = x",
        "age >= 40 & work = y",
    ];
    assert_eq!(x.feature_names(), names);
    assert_eq!(
        (x.shape(), x.len(), x.class_names().unwrap()),
        (&[14][..], 3, &["no".to_owned(), "yes".to_owned()][..])
    );
    let rows = x.gather(&[0, 1, 2]);
    let rows: Vec<&[f32]> = rows.inputs.chunks(14).collect();
    assert_eq!(rows[0], [0.3, 0., 1., 0., 0., -1., 1., 0., 0., 0., 1., 0., 0., 0.]);
    assert_eq!(rows[1], [0.0, 1., 0., 0., 0., 1., 0., 1., 0., 1., 0., 0., 0., 0.]);
    assert_eq!(rows[2], [0.5, 0., 0., 1., 1., 0., 1., 0., 0., 0., 0., 0., 1., 0.]);
    assert!(matches!(x.gather(&[0, 1]).targets, Targets::Classes { labels, .. } if labels == [0, 1]));
}

#[test]
fn other_and_numeric_targets() {
    let mut csv: Csv =
        toml::from_str(&SCHEMA.replace("categories = [\"x\", \"y\"]", "categories = [\"x\"]\nother = true")).unwrap();
    csv.target = Target { name: "rich".into(), classes: vec![], range: Some([0.0, 10.0]), scale: [-1.0, 1.0] };
    let x = csv.parse(Path::new("t.csv"), b"age,gain,work,rich\n1,1,?,5\n1,1,zzz,99\n").unwrap();
    let batch = x.gather(&[0, 1]);
    assert_eq!((batch.inputs[7], x.feature_names()[7].as_str(), x.classes()), (1.0, "work = other", None));
    assert!(matches!(batch.targets, Targets::Values { width: 1, data } if data == [0.0, 1.0]));
}

#[test]
fn files_load_from_the_root_with_and_without_header() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train.csv"), "1;2;x;no\n1;2;y;yes\n").unwrap();
    let mut csv = schema();
    std::fs::write(folder.path().join("test.csv"), "1;2;x;no\n1;2;y;no\n").unwrap();
    (csv.delimiter, csv.header, csv.test) = (";".into(), false, Some("test.csv".into()));
    csv.columns = ["age", "gain", "work", "rich"].map(String::from).to_vec();
    let loaded = DataConfig(Kind::Csv(csv.clone())).load(folder.path()).unwrap();
    assert_eq!((loaded.declared, loaded.train.len(), loaded.evaluation.unwrap().len()), (3, 2, 2));
    assert!(loaded.notes.len() == 1 && !loaded.notes[0].contains('2'), "{:?}", loaded.notes);
    csv.test = Some("train.csv".into());
    let error = csv.load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("data.test") && error.contains("are the training data"), "{error}");
    csv.test = Some("nowhere.csv".into());
    let error = csv.load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("nowhere.csv") && error.contains("--data-dir"), "{error}");
}

#[test]
fn days_become_numbers_between_their_bounds() {
    let text = r#"
train = "t.csv"
examples = 3
missing = "NA"
[[features]]
name = "seen"
kind = "date"
range = [2020-01-01, "2020-01-11"]
buckets = [2020-01-06]
default = 2020-01-05
[target]
name = "y"
classes = ["a", "b"]
"#;
    let csv: Csv = toml::from_str(text).unwrap();
    assert_eq!(toml::from_str::<Csv>(&toml::to_string(&csv).unwrap()).unwrap(), csv);
    let read = |cell: &str| csv.parse(Path::new("t.csv"), format!("seen,y\n{cell},a\n").as_bytes());
    let inputs = |cell: &str| read(cell).unwrap().gather(&[0]).inputs;
    assert_eq!(
        read("NA").unwrap().feature_names(),
        ["seen", "seen < 2020-01-06", "seen >= 2020-01-06", "seen is missing"]
    );
    assert_eq!(inputs("2020-01-06"), [0.5, 0., 1., 0.]);
    assert_eq!(inputs("2031-01-06T12:00:00"), [1., 0., 1., 0.]);
    assert_eq!(inputs("NA"), [0.4, 1., 0., 1.]);
    let error = read("06.01.2020").unwrap_err().to_string();
    assert!(error.contains("line 2, column `seen`: the cell is not a day as in 2026-11-26"), "{error}");
    for (from, to, expected) in [
        ("[2020-01-01, \"2020-01-11\"]", "[2020-01-11, 2020-01-01]", "features `seen`: `range` must be two days"),
        ("range = [2020-01-01, \"2020-01-11\"]", "", "feature 1 (`seen`): a date needs a public `range"),
        ("default = 2020-01-05", "default = 5", "feature 1 (`seen`): expected a day, such as 2026-11-26"),
        ("default = 2020-01-05", "default = 2021-01-05", "`default` must lie in `range`"),
    ] {
        let problem = match toml::from_str::<Csv>(&text.replacen(from, to, 1)) {
            Ok(csv) => csv.parse(Path::new("t.csv"), b"seen,y\n").unwrap_err().to_string(),
            Err(e) => e.to_string(),
        };
        assert!(problem.contains(expected), "{to}: {problem}");
    }
}

/// A secret that no message may tell.
const CANARY: &str = "c4n4ry";

#[test]
fn bad_rows_are_named_and_never_told() {
    let head = "age,gain,work,rich";
    let cases = [
        (format!("{head}\n{CANARY},1,x,no\n"), "line 2, column `age`: the cell is not a number"),
        (format!("{head}\n1,1,x,no\n\n1,1{CANARY},x,no\n"), "line 4, column `gain`: the cell is not a number"),
        (format!("{head}\n1,NaN,{CANARY},no\n"), "column `gain`: the cell is not a finite number"),
        (format!("{head}\n-inf,1,{CANARY},no\n"), "column `age`: the cell is not a finite"),
        (format!("{head}\n1,?,{CANARY},no\n"), "column `gain`: the cell is missing; declare a public `default`"),
        (format!("{head}\n1,1,{CANARY},no\n"), "column `work`: the cell is none of the declared categories (x, y)"),
        (format!("{head}\n1,1,?,{CANARY}\n"), "column `work`: the cell is missing; list"),
        (format!("{head}\n1,1,x,{CANARY}\n"), "column `rich`: the cell is none of the declared classes (no, yes)"),
        (format!("{head}\n1,1,x\n"), "line 2: too few fields (4 columns"),
        (format!("{head}\n1,1,x,no,{CANARY}\n"), "line 2: too many fields (4 columns"),
        (format!("{CANARY},gain,work,rich\n"), "t.csv: has no column `age`"),
        (format!("{CANARY},gain,work,{CANARY}\n"), "line 1: fields 1 and 4 of the header"),
        (String::new(), "t.csv: is empty"),
        (format!("{head}\n"), "t.csv: holds no rows"),
    ];
    for (text, expected) in cases {
        let error = read(&text).unwrap_err();
        assert!(error.contains(expected) && error.starts_with("t.csv"), "{error}");
        assert!(!error.contains(CANARY), "{error}");
    }
}

#[test]
fn statistics_of_private_rows_are_refused() {
    let error = refused("range = [0, 100]\n", "");
    assert!(
        error.contains("feature 1 (`age`)") && error.contains("public `range") && error.contains("leak"),
        "{error}"
    );
    let error = refused("categories = [\"x\", \"y\"]\n", "");
    assert!(
        error.contains("feature 3 (`work`)") && error.contains("public `categories") && error.contains("leaks"),
        "{error}"
    );
    for way in ["zscore", "standard"] {
        let error = refused("\"log\"", &format!("\"{way}\""));
        assert!(error.contains(way) && error.contains("private rows leak"), "{error}");
    }
    assert!(refused("default = 50", "normalise = 'standard'").contains("`normalise` is refused"));
    assert!(refused("classes = [\"no\", \"yes\"]", "").contains("data.target: needs public `classes"));
}

#[test]
fn contradictions_in_the_schema_are_named() {
    for (from, to, expected) in [
        ("default = 50", "defualt = 50", "feature 1 (`age`): unknown field `defualt`, expected one of `name`"),
        ("kind = \"cross\"", "kind = \"corss\"", "feature 4 (`age by work`): unknown variant `corss`"),
        ("missing", "mising", "unknown field `mising`"),
        ("classes", "clases", "unknown field `clases`"),
        ("default = 50", "default = 101", "features `age`: `default` must lie"),
        ("[0, 100]", "[100, 0]", "features `age`: `range` must"),
        ("[0, 100]", "[-1e300, 1e300]", "features `age`: `range` must"),
        ("[0, 100]", "[0, inf]", "features `age`: `range` must"),
        ("[-1, 1]", "[1, 1]", "features `gain`: `scale` must"),
        ("[20, 40]", "[40, 20]", "features `age`: `buckets` must ascend"),
        ("[20, 40]", "[0, 40]", "features `age`: `buckets` must ascend"),
        ("[20, 40]", "[20, 400]", "features `age`: `buckets` must ascend"),
        ("scale = [-1, 1]", "value = false", "features `gain`: with `value = false`"),
        ("[\"x\", \"y\"]", "[\"x\", \"x \"]", "features `work`: `categories` lists"),
        ("[\"x\", \"y\"]", "[\"x\"]", "features `work`: `categories` needs at least 2"),
        ("[\"age\", \"work\"]", "[\"age\"]", "`of` must name at least two"),
        ("[\"age\", \"work\"]", "[\"age\", \"rich\"]", "`rich` is not among"),
        ("[\"age\", \"work\"]", "[\"gain\", \"work\"]", "`gain` cannot be crossed"),
        ("name = \"gain\"", "name = \"age\"", "the name is used twice"),
        ("name = \"gain\"", "name = \"rich\"", "features `rich`: is the target's column"),
        ("classes", "range = [0, 1]\nclasses", "has both `classes` and `range`"),
        ("[\"no\", \"yes\"]", "[\"no\"]", "`classes` needs at least 2"),
        ("missing =", "delimiter = ';;'\nmissing =", "data.delimiter: must be one ASCII"),
        ("missing =", "delimiter = '\"'\nmissing =", "data.delimiter: cannot be a quote"),
        ("missing =", "header = false\nmissing =", "data.columns: must list"),
        ("missing =", "columns = ['a']\nmissing =", "data.columns: is for files without"),
        ("missing =", "header = false\ncolumns = ['a', 'a']\nmissing =", "data.columns: lists one name twice"),
    ] {
        let error = refused(from, to);
        assert!(error.contains(expected), "{to}: {error}");
    }
    let mut csv = schema();
    csv.features.clear();
    assert!(csv.load(Path::new("")).unwrap_err().to_string().contains("at least one `[[data.features]]`"));
}

fn category(name: &str) -> Feature {
    let categories = vec!["a".to_owned(), "b".to_owned()];
    Feature::Categorical(schema::Categorical { name: name.into(), column: None, categories, other: false })
}

#[test]
fn a_cross_of_everything_is_refused() {
    let mut csv = schema();
    csv.features = (0..30).map(|i| category(&format!("f{i}"))).collect();
    let of: Vec<String> = csv.features.iter().map(|f| f.name().to_owned()).collect();
    (csv.header, csv.columns) = (false, of.iter().cloned().chain(["rich".to_owned()]).collect());
    csv.features.push(Feature::Cross(schema::Cross { name: "all".into(), of }));
    assert!(csv.parse(Path::new("t"), b"").unwrap_err().to_string().contains("a million combinations"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "[a-z0-9,\"\n\r ?.-]{0,200}", quoting: bool) {
        let csv = Csv { quoting, ..schema() };
        let head = |body: &[u8]| [&b"age,gain,work,rich\n"[..], body].concat();
        for input in [bytes.clone(), head(&bytes), head(text.as_bytes())] {
            let _ = csv.parse(Path::new("t.csv"), &input);
        }
        let _ = file::unpack(Path::new("t.gz"), [&[0x1f, 0x8b], &bytes[..]].concat());
        let _ = file::unpack(Path::new("t.xz"), [&[0xfd, b'7', b'z', b'X', b'Z', 0], &bytes[..]].concat());
    }

    #[test]
    fn no_message_tells_a_cell(cells in proptest::collection::vec("[0-9]{0,3}SECRET[a-z,\"]{0,4}", 0..12), wide in 1usize..6) {
        let rows: Vec<String> = cells.chunks(wide).map(|row| row.join(",")).collect();
        for text in [rows.join("\n"), format!("age,gain,work,rich\n{}\n", rows.join("\n"))] {
            if let Err(error) = read(&text) {
                prop_assert!(!error.contains("SECRET"), "{}", error);
            }
        }
    }
}
