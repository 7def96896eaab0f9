//! A run on a table of made-up people, from files to a folder of results.
use std::{fs, path::PathBuf};
use tempfile::TempDir;
use train::{
    config::Config,
    run::{Progress, Run, Watch},
};

/// A table of made-up people, and a run on it.
pub struct Place {
    pub top: TempDir,
    set: Vec<String>,
}

impl Place {
    pub fn new(set: &[&str]) -> Self {
        let top = TempDir::new().unwrap();
        let (inputs, labels) = super::rows(200);
        let head = "a,b,c,d,e,f,y\n".to_owned();
        let lines = inputs.chunks(super::WIDTH).zip(labels).map(|(x, y)| {
            let cells: Vec<String> = x.iter().map(|x| format!("{:.4}", x.clamp(-4.0, 4.0))).collect();
            format!("{},{}\n", cells.join(","), ["p", "q", "r"][y as usize])
        });
        let lines: Vec<String> = lines.collect();
        fs::write(top.path().join("people.csv"), head.clone() + &lines.concat()).unwrap();
        fs::write(top.path().join("public.csv"), head + &lines[..150].concat()).unwrap();
        Place { top, set: set.iter().map(|s| (*s).to_owned()).collect() }
    }

    pub fn config(&self, more: &[&str]) -> Config {
        let columns: String = "abcdef"
            .chars()
            .map(|c| format!("[[data.features]]\nname = \"{c}\"\nkind = \"numeric\"\nrange = [-4, 4]\n"))
            .collect();
        let text = format!(
            r#"
            title = "made up"
            model = {{ layers = [{{ layer = "linear", features = 5 }}, {{ layer = "tanh" }}, {{ layer = "linear", features = 3 }}] }}
            privacy = {{ epsilon = 2.0, delta = 1e-3 }}
            train = {{ lot = 20, steps = 12, chunk = 7, evaluations = 4 }}
            [data]
            source = "csv"
            train = "people.csv"
            test = "public.csv"
            examples = 200
            {columns}
            [data.target]
            name = "y"
            classes = ["p", "q", "r"]
            "#
        );
        let set: Vec<String> = self.set.iter().cloned().chain(more.iter().map(|s| (*s).to_owned())).collect();
        Config::read("test", &text, &set).unwrap()
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    pub fn start(&self, name: &str) -> Run {
        Run::prepare(self.config(&[]), self.top.path(), Some(&self.folder(name)), false).unwrap()
    }

    pub fn resume(&self, name: &str) -> Run {
        Run::resume(&self.folder(name), None, None).unwrap()
    }
}

/// Ends a run after so many steps.
pub struct Until(pub u64);

impl Watch for Until {
    fn step(&mut self, progress: &Progress) -> bool {
        progress.step < self.0
    }
}
