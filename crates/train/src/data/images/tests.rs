//! Pictures: what Pillow makes of the same files, what is refused, and that no message tells a name.
use super::*;
use proptest::prelude::*;
use std::{collections::HashMap, fs};

/// `vectors/make.py`: files by name, and what they become.
fn vectors() -> HashMap<String, Vec<u8>> {
    let bytes =
        |hex: &str| (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
    let line = |line: &str| line.rsplit_once(' ').map(|(name, hex)| (name.to_owned(), bytes(hex))).unwrap();
    include_str!("vectors/pictures.hex").lines().map(line).collect()
}

fn fitting(form: &str) -> Fitting {
    let parts: Vec<&str> = form.split(' ').collect();
    let (high, wide) = parts[1].split_once('x').unwrap();
    let (fit, resize) = match parts[2].split_once('-') {
        Some((_, side)) => (Fit::Crop, Some(side.parse().unwrap())),
        None if parts[2] == "crop" => (Fit::Crop, None),
        None => (Fit::Stretch, None),
    };
    let channels = if parts[0] == "grey" { Channels::Grey } else { Channels::Rgb };
    Fitting { size: [high.parse().unwrap(), wide.parse().unwrap()], fit, resize, channels }
}

fn put(bytes: &[u8], fitting: &Fitting) -> Result<Vec<u8>, String> {
    let mut out = vec![0; fitting.channels.count() * fitting.size[0] * fitting.size[1]];
    fitting.put(&decode::decode(bytes, Some([0, 4080]))?, &mut out)?;
    Ok(out)
}

/// PNG to the bit, and to 1 of 255 where it is scaled; JPEG, whose standard leaves rounding free, to a few.
#[test]
fn pictures_are_what_pillow_makes_of_them() {
    let vectors = vectors();
    let mut seen = 0;
    for (form, expected) in vectors.iter().filter(|(name, _)| name.contains(' ')) {
        let (name, form) = form.split_once(' ').unwrap();
        let (png, jpg) = (vectors.get(&format!("{name}.png")), vectors.get(&format!("{name}.jpg")));
        let got = put(png.or(jpg).unwrap(), &fitting(form)).unwrap();
        let most = got.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        let scaled = name == "colour" || name == "grey";
        let allowed = if png.is_none() { 5 } else { u8::from(scaled) };
        assert!(got.len() == expected.len() && most <= allowed, "{name} {form}: {most}");
        seen += 1;
    }
    assert_eq!(seen, 20);
}

#[test]
fn what_cannot_be_decided_here_is_refused() {
    let vectors = vectors();
    let refused = |name: &str, window| decode::decode(&vectors[name], window).map(|_| ()).unwrap_err();
    assert!(refused("through.png", None).contains("see-through"));
    assert!(refused("deep.png", None).contains("window = [0, 65535]"));
    assert!(refused("print.jpg", None).contains("CMYK"));
    assert!(decode::decode(b"GIF89a", None).map(|_| ()).unwrap_err().contains("neither a PNG nor a JPEG"));
    let exact = Fitting { size: [9, 9], fit: Fit::Exact, resize: None, channels: Channels::Rgb };
    assert!(put(&vectors["colour.png"], &exact).unwrap_err().contains("not 9 pixels high"));
    // A header that asks for 2^31 by 2^31 pixels, its checksum right, takes no memory.
    let mut bomb = vectors["colour.png"].clone();
    bomb[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let mut crc = flate2::Crc::new();
    crc.update(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    assert!(decode::decode(&bomb, None).map(|_| ()).unwrap_err().contains("134 million"));
}

/// A file cut anywhere is an error: half a picture is never filled up with grey.
#[test]
fn a_picture_cut_short_is_an_error() {
    let vectors = vectors();
    for name in ["colour.png", "photo.jpg", "progressive.jpg", "greyphoto.jpg"] {
        let whole = &vectors[name];
        for end in 0..whole.len() {
            assert!(decode::decode(&whole[..end], None).is_err(), "{name} at {end} of {}", whole.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_bytes_panic(which in 0usize..64, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
                      cut in prop::option::of(any::<prop::sample::Index>()), window in any::<bool>()) {
        let vectors = vectors();
        let mut files: Vec<&String> = vectors.keys().filter(|name| name.contains('.')).collect();
        files.sort();
        let mut bytes = vectors[files[which % files.len()]].clone();
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        mend(&mut bytes);
        for fit in [Fit::Crop, Fit::Stretch] {
            let fitting = Fitting { size: [5, 4], fit, resize: None, channels: Channels::Grey };
            if let Ok(picture) = decode::decode(&bytes, window.then_some([0, 9])) {
                let mut out = vec![0; 20];
                let _ = fitting.put(&picture, &mut out);
            }
        }
    }
}

/// Puts the checksums of a PNG's chunks right, so that changes reach what is behind them.
fn mend(bytes: &mut [u8]) {
    let mut at = 8;
    while bytes.starts_with(b"\x89PNG") && at + 12 <= bytes.len() {
        let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let Some(end) = (at + 8).checked_add(length).filter(|end| end + 4 <= bytes.len()) else { return };
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&crc.sum().to_be_bytes());
        at = end + 4;
    }
}

const FOLDERS: &str =
    "train = 'train'\ntest = 'test'\nexamples = 3\nclasses = ['b', 'a']\nsize = 4\nmean = [0]\nstd = [1]\n";
const TABLE: &str = "train = 'train.csv'\nexamples = 2\npath = 'file'\nimages = 'train'\nsize = [4, 3]\nchannels = 'grey'\n\
                     [target]\nname = 'age'\nrange = [0, 100]\n";

fn source(text: &str) -> Images {
    toml::from_str(text).unwrap()
}

/// A folder of classes, one more declared public, and a table.
fn disk() -> tempfile::TempDir {
    let (folder, vectors) = (tempfile::tempdir().unwrap(), vectors());
    let put = |name: &str, from: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &vectors[from]).unwrap();
    };
    put("train/a/deep/2.png", "colour.png");
    put("train/b/1.jpg", "photo.jpg");
    put("train/a/canary.png", "grey.png");
    put("test/b/1.png", "palette.png");
    fs::write(folder.path().join("train/a/.DS_Store"), "hidden").unwrap();
    fs::write(folder.path().join("train.csv"), "file,age\na/canary.png,40\nb/1.jpg,900\n").unwrap();
    folder
}

fn labels(examples: &Examples) -> Vec<u32> {
    match examples.gather(&(0..examples.len()).collect::<Vec<_>>()).targets {
        Targets::Classes { labels, .. } => labels,
        _ => panic!("classes"),
    }
}

#[test]
fn folders_are_classes() {
    let disk = disk();
    let images = source(FOLDERS);
    let loaded = images.load(disk.path()).unwrap();
    assert_eq!((loaded.train.shape(), labels(&loaded.train)), (&[3, 4, 4][..], vec![1, 1, 0]));
    assert_eq!((labels(&loaded.evaluation.unwrap()), loaded.notes.len()), (vec![0], 0));
    let colour = put(&vectors()["colour.png"], &fitting("rgb 4x4 crop")).unwrap();
    let expected: Vec<f32> = colour.iter().map(|b| (f64::from(*b) / 255.0) as f32).collect();
    assert_eq!(loaded.train.gather(&[1]).inputs, expected);
    // Asked about, a folder may be in any order, and answers have names.
    let asked = disk.path().join("train");
    let examples = images.ask(disk.path(), &asked).unwrap();
    assert_eq!((examples.len(), labels(&examples)), (3, vec![0; 3]));
    assert_eq!(images.names(&asked).unwrap(), ["a/canary.png", "a/deep/2.png", "b/1.jpg"]);
    assert_eq!(images.ask(disk.path(), &asked.join("b/1.jpg")).unwrap().len(), 1);
}

#[test]
fn a_table_names_pictures_and_numbers() {
    let disk = disk();
    let images = source(TABLE);
    let loaded = images.load(disk.path()).unwrap();
    assert_eq!((loaded.train.shape(), loaded.train.len()), (&[1, 4, 3][..], 2));
    let Targets::Values { data, .. } = loaded.train.gather(&[0, 1]).targets else { panic!("numbers") };
    assert_eq!((data, images.answer(0.4)), (vec![0.4, 1.0], 40.0));
    fs::write(disk.path().join("new.csv"), "file\nb/1.jpg\n").unwrap();
    assert_eq!(images.ask(disk.path(), &disk.path().join("new.csv")).unwrap().len(), 1);
}

/// Another picture beside it, another label, another order on disk: an example stays what it is.
#[test]
fn a_picture_depends_on_itself() {
    let disk = disk();
    let before = source(FOLDERS).load(disk.path()).unwrap().train;
    fs::write(disk.path().join("train/b/2.png"), &vectors()["bits.png"]).unwrap();
    fs::remove_file(disk.path().join("train/a/canary.png")).unwrap();
    let after = source(FOLDERS).load(disk.path()).unwrap().train;
    assert_eq!((before.len(), after.len()), (3, 3));
    assert_eq!(before.gather(&[1, 2]).inputs, after.gather(&[0, 1]).inputs);
}

#[test]
fn no_message_names_a_picture() {
    let disk = disk();
    let damage = |name: &str, bytes: &[u8]| fs::write(disk.path().join(name), bytes).unwrap();
    let refused = |text: &str| {
        let error = source(text).load(disk.path()).unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
        error
    };
    damage("train/a/canary.png", &vectors()["grey.png"][..90]);
    let error = refused(FOLDERS);
    assert!(
        error.contains("picture 1 in the order of names is not a whole PNG file") && error.contains("sed -n 1p"),
        "{error}"
    );
    let error = refused(TABLE);
    assert!(error.contains("train.csv, line 2, column `file`: the picture is not a whole PNG"), "{error}");
    fs::remove_file(disk.path().join("train/a/canary.png")).unwrap();
    assert!(refused(TABLE).contains("line 2, column `file`: the picture is not there"));
    damage("train/canary.png", b"");
    assert!(refused(FOLDERS).contains("holds a file beside the folders of the classes"));
    fs::remove_file(disk.path().join("train/canary.png")).unwrap();
    fs::create_dir(disk.path().join("train/canary")).unwrap();
    damage("train/canary/1.png", b"");
    assert!(refused(FOLDERS).contains("none of the declared classes (b, a); extend `classes`"));
    damage("train.csv", b"file,age\n,4\n");
    assert!(refused(TABLE).contains("line 2, column `file`: the cell holds no path"));
}

/// The command that a message names finds the picture that it means.
#[cfg(unix)]
#[test]
fn the_picture_is_found_by_the_command() {
    let disk = disk();
    for (name, bytes) in [("train/a-b/1.png", "x"), ("train/a/Z.png", "x"), ("train/b/é 1.png", "x")] {
        fs::create_dir_all(disk.path().join(name).parent().unwrap()).unwrap();
        fs::write(disk.path().join(name), bytes).unwrap();
    }
    let error = Place::Folder(disk.path().join("train")).error(2, Path::new(""), "is bad".into()).to_string();
    let command = error.split('`').nth(1).unwrap().replace("sed -n 3p", "cat");
    let told = std::process::Command::new("sh")
        .args(["-c", &command])
        .current_dir(disk.path().join("train"))
        .output()
        .unwrap();
    let told: Vec<String> = String::from_utf8(told.stdout).unwrap().lines().map(|line| line[2..].to_owned()).collect();
    assert_eq!(told, source(FOLDERS).names(&disk.path().join("train")).unwrap());
    assert_eq!(told.len(), 6);
}

#[test]
fn declarations_that_contradict_themselves_are_named() {
    let refused = |from: &str, to: &str| {
        let text = if FOLDERS.contains(from) { FOLDERS.replacen(from, to, 1) } else { TABLE.replacen(from, to, 1) };
        match toml::from_str::<Images>(&text) {
            Ok(images) => images.load(disk().path()).unwrap_err().to_string(),
            Err(e) => e.to_string(),
        }
    };
    for (from, to, expected) in [
        ("size = 4\n", "size = 0\n", "data.size: must be from 1"),
        ("size = 4\n", "size = 'big'\n", "a number of pixels, or [height, width]"),
        ("size = 4\n", "size = 4\nresize = 3\n", "data.resize: must be at least"),
        ("size = 4\n", "size = 4\nresize = 8\nfit = 'stretch'\n", "data.resize: is for `fit"),
        ("size = 4\n", "size = 4\nwindow = [9, 9]\n", "data.window: must be two values"),
        ("size = 4\n", "size = 4\nimages = 'x'\n", "data.images: is for a table"),
        ("classes = ['b', 'a']\n", "", "data.classes: must list the folders' names"),
        ("classes = ['b', 'a']\n", "classes = ['b', 'b']\n", "data.classes: lists `b` twice"),
        ("mean = [0]", "mean = [0, 0]", "data.mean"),
        ("train = 'train'\n", "train = 'nowhere'\n", "--data-dir"),
        ("train = 'train'\n", "train = 'train.csv'\n", "is no folder; for a table of paths"),
        ("test = 'test'\n", "test = 'train'\n", "are the training data"),
        ("path = 'file'\n", "", "data.target: is for a table of paths"),
        ("name = 'age'", "name = 'file'", "data.target: is the column of paths"),
        ("[target]\nname = 'age'\nrange = [0, 100]\n", "", "data.target: must say what to predict"),
        ("channels = 'grey'", "classes = ['a', 'b']", "data.classes: are for folders"),
        ("images = 'train'\n", "", "line 2, column `file`: the picture is not there"),
    ] {
        let error = refused(from, to);
        assert!(error.contains(expected), "{from} -> {to}: {error}");
    }
}
