//! The publisher's names for a model's parameters, and how their numbers lie in the publisher's file.
use super::Parts;
use crate::{
    layer::Parameter,
    model::{Patterns, StartError, Stored},
};
use engine::Tensor;
use std::{collections::HashMap, path::Path};

/// How numbers lie in a file, compared with ours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// The same, or, under several names, in equal parts, one below the other.
    Plain,
    /// Matrices are turned: `[inputs, outputs]`.
    Turned,
    /// Behind so many rows that nothing looks at.
    After(usize),
}

/// Names that begin alike: what follows `ours` follows each of `theirs`; `#` stands for a block's number.
#[derive(Debug, Clone)]
pub(super) struct Line {
    ours: String,
    theirs: Vec<String>,
    form: Form,
    /// Whether it may be absent from a file, and starts fresh then.
    head: bool,
    /// Whether the model's prefix stands before it.
    based: bool,
}

impl Line {
    pub(super) fn new(ours: &str, theirs: &[&str], form: Form) -> Line {
        Line {
            ours: ours.into(),
            theirs: theirs.iter().map(|name| (*name).to_owned()).collect(),
            form,
            head: false,
            based: false,
        }
    }

    /// The same as a part of the publisher's own base model, though it may be absent.
    pub(super) fn of_base(self) -> Line {
        Line { based: true, ..self }
    }

    /// What the publisher calls our parameter `name`, if this is its line.
    fn names(&self, name: &str) -> Option<Vec<String>> {
        let (number, rest) = match self.ours.split_once('#') {
            None => ("", name.strip_prefix(&self.ours)?),
            Some((before, after)) => {
                let rest = name.strip_prefix(before)?;
                let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                (&rest[..digits], rest[digits..].strip_prefix(after)?)
            }
        };
        Some(self.theirs.iter().map(|theirs| theirs.replace('#', number) + rest).collect())
    }
}

/// One line that lies plainly.
pub(super) fn plain(ours: &str, theirs: &str) -> Line {
    Line::new(ours, &[theirs], Form::Plain)
}

/// All names of a model.
pub(crate) struct Names {
    prefix: &'static str,
    lines: Vec<Line>,
    unused: Patterns,
    copy: Option<(&'static str, &'static str)>,
}

/// A file's tensors under our names.
#[derive(Default)]
pub(crate) struct Taken {
    /// By name.
    pub stored: HashMap<String, Stored>,
    /// What starts fresh, by our names.
    pub fresh: Vec<String>,
    /// What whoever asked should know: what was not asked to start fresh and does, since the file lacks it.
    pub remark: Option<String>,
}

impl Names {
    /// `inside`: the body lies inside the table of tokens, which is the head too; if not, it follows it.
    pub(super) fn new(parts: &Parts, inside: bool) -> Names {
        let (table, ..) = parts.table;
        let place = |k: usize| if inside { format!("0.{k}.") } else { format!("{}.", k + 1) };
        let layers = parts.body.iter().map(|part| (part, false)).chain(parts.head.iter().map(|part| (part, true)));
        let lines = layers.enumerate().flat_map(|(k, (part, head))| {
            part.1.iter().map(move |line| Line {
                ours: place(k) + &line.ours,
                head,
                based: !head || line.based,
                ..line.clone()
            })
        });
        Names {
            prefix: parts.prefix,
            lines: std::iter::once(plain("0.weight", table).of_base()).chain(lines).collect(),
            unused: Patterns(parts.unused.iter().map(|name| (*name).to_owned()).collect()),
            copy: parts.copy.map(|copy| (copy, table)),
        }
    }

    fn of(&self, name: &str) -> Option<(&Line, Vec<String>)> {
        self.lines.iter().find_map(|line| Some((line, line.names(name)?)))
    }

    /// Whether the publisher has a name for ours.
    pub(super) fn has(&self, name: &str) -> bool {
        self.of(name).is_some()
    }

    /// The tensors of the file at `path` as those of `parameters`, but for what starts fresh anyway.
    ///
    /// # Errors
    /// Names every tensor that is missing, of another shape, or left over.
    pub(crate) fn take<'a>(
        &self,
        parameters: impl Iterator<Item = &'a Parameter>,
        stored: HashMap<String, Stored>,
        fresh: &Patterns,
        path: &Path,
    ) -> Result<Taken, StartError> {
        let mut theirs: HashMap<String, Stored> =
            stored.into_iter().map(|(name, stored)| (self.short(&name), stored)).collect();
        let (mut taken, mut wrong, mut absent) = (Taken::default(), self.untied(&theirs), Vec::new());
        for parameter in parameters {
            let name = parameter.name.as_str();
            let Some((line, names)) = self.of(name) else {
                wrong.extend((!fresh.matches(name)).then(|| format!("`{name}` has no name in such a file")));
                continue;
            };
            let parts: Vec<Option<Stored>> = names.iter().map(|name| theirs.remove(name)).collect();
            match joined(line, parameter, &names, parts) {
                _ if fresh.matches(name) || names.iter().any(|name| self.is_fresh(fresh, name)) => {
                    taken.fresh.push(name.to_owned());
                }
                Ok(Some(tensor)) => drop(taken.stored.insert(name.to_owned(), tensor)),
                Ok(None) if line.head => {
                    taken.fresh.push(name.to_owned());
                    absent.push(format!("{name} ({})", names.join(", ")));
                }
                Ok(None) => wrong.push(format!("`{}` is not in the file", names.join("`, `"))),
                Err(problem) => wrong.push(problem),
            }
        }
        let copy = self.copy.map_or("", |(copy, _)| copy);
        let left = theirs
            .into_iter()
            .filter(|(name, _)| !self.unused.matches(name) && !self.is_fresh(fresh, name) && name != copy);
        let mut left: Vec<_> =
            left.map(|(name, (shape, _))| format!("`{name}` {shape:?} has no place in the model")).collect();
        left.sort();
        wrong.append(&mut left);
        taken.remark = (!absent.is_empty())
            .then(|| format!("Not in {}, and so starting fresh: {}.", path.display(), absent.join(", ")));
        if wrong.is_empty() { Ok(taken) } else { Err(StartError(wrong)) }
    }

    /// What `fresh` may call a tensor of the file.
    pub(crate) fn forms(&self, name: &str) -> Vec<String> {
        let short = self.short(name);
        vec![format!("{}{short}", self.prefix), short, name.to_owned()]
    }

    fn is_fresh(&self, fresh: &Patterns, name: &str) -> bool {
        self.forms(name).iter().any(|form| fresh.matches(form))
    }

    /// A name without what may stand before it, and normalisations' parameters under today's names.
    fn short(&self, name: &str) -> String {
        let name = name.strip_prefix(self.prefix).unwrap_or(name);
        match name.rsplit_once('.') {
            Some((module, "gamma")) => format!("{module}.weight"),
            Some((module, "beta")) => format!("{module}.bias"),
            _ => name.to_owned(),
        }
    }

    /// What is wrong with the copy of the table: it must be one.
    fn untied(&self, theirs: &HashMap<String, Stored>) -> Vec<String> {
        let Some((copy, table)) = self.copy else { return Vec::new() };
        let number = |name: &str| theirs.get(name).and_then(|(_, tensor)| tensor.as_ref().ok());
        match (number(copy), number(table)) {
            (Some(a), Some(b)) if a != b => {
                vec![format!("`{copy}` differs from `{table}`: only a head that is the table itself is built here")]
            }
            _ => Vec::new(),
        }
    }

    /// Our tensors under the publisher's names, as its files hold them.
    pub(crate) fn give<'a>(&self, ours: impl Iterator<Item = (&'a Parameter, &'a Tensor)>) -> Vec<(String, Tensor)> {
        let one = |(parameter, tensor): (&Parameter, &Tensor)| {
            let (line, names) = self.of(&parameter.name)?;
            let prefix = if line.based { self.prefix } else { "" };
            let parts = split(line.form, &tensor.to_host(), names.len());
            Some(names.into_iter().map(move |name| format!("{prefix}{name}")).zip(parts).collect::<Vec<_>>())
        };
        ours.filter_map(one).flatten().collect()
    }
}

/// One parameter of its parts in a file; none if all are absent.
fn joined(
    line: &Line,
    ours: &Parameter,
    names: &[String],
    parts: Vec<Option<Stored>>,
) -> Result<Option<Stored>, String> {
    if parts.iter().all(Option::is_none) {
        return Ok(None);
    }
    let wanted = shape_of_part(line.form, &ours.shape, names.len());
    let mut numbers = Vec::with_capacity(ours.len());
    for (name, part) in names.iter().zip(parts) {
        let (shape, tensor) = part.ok_or_else(|| format!("`{name}` is not in the file"))?;
        if shape != wanted {
            return Err(format!(
                "`{name}` has shape {shape:?} in the file, and {wanted:?} by config.json and the data"
            ));
        }
        let tensor = tensor.map_err(|kind| format!("`{name}` holds {kind}: F32, F16 and BF16 are read"))?;
        match (line.form, &shape[..]) {
            (Form::Turned, &[rows, columns]) => numbers.extend(turned(tensor.data(), rows, columns)),
            (Form::After(rows), [_, width @ ..]) => {
                numbers.extend_from_slice(&tensor.data()[rows * width.iter().product::<usize>()..]);
            }
            _ => numbers.extend_from_slice(tensor.data()),
        }
    }
    Ok(Some((ours.shape.clone(), Ok(Tensor::new(ours.shape.clone(), numbers)))))
}

/// The shape of each of `count` parts in a file of what has shape `ours` here.
fn shape_of_part(form: Form, ours: &[usize], count: usize) -> Vec<usize> {
    match (form, ours) {
        (Form::Turned, &[rows, columns]) => vec![columns, rows],
        (Form::After(more), [rows, rest @ ..]) => [&[rows + more], rest].concat(),
        (_, [rows, rest @ ..]) => [&[rows / count], rest].concat(),
        (_, []) => Vec::new(),
    }
}

/// The parts of a tensor as they lie in a file.
fn split(form: Form, tensor: &Tensor, count: usize) -> Vec<Tensor> {
    let shape = shape_of_part(form, tensor.shape(), count);
    match (form, tensor.shape()) {
        (Form::Turned, &[rows, columns]) => vec![Tensor::new(shape, turned(tensor.data(), rows, columns))],
        (Form::After(_), _) => {
            let mut numbers = vec![0.0; shape.iter().product()];
            let first = numbers.len() - tensor.len();
            numbers[first..].copy_from_slice(tensor.data());
            vec![Tensor::new(shape, numbers)]
        }
        _ => {
            let len = (tensor.len() / count).max(1);
            tensor.data().chunks(len).map(|part| Tensor::new(shape.clone(), part.to_vec())).collect()
        }
    }
}

/// A matrix of `rows`, turned.
fn turned(numbers: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|j| (0..rows).map(move |i| numbers[i * columns + j])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Init;
    use proptest::prelude::*;

    #[test]
    fn a_block_keeps_its_number() {
        let line = Line::new("2.layers.#.self_attn.in_proj_", &["layer.#.query.", "layer.#.key."], Form::Plain);
        assert_eq!(
            line.names("2.layers.11.self_attn.in_proj_weight").unwrap(),
            ["layer.11.query.weight", "layer.11.key.weight"]
        );
        assert_eq!(line.names("12.layers.1.self_attn.in_proj_weight"), None);
        assert_eq!(line.names("2.layers.1.self_attn.out_proj.weight"), None);
    }

    proptest! {
        /// What is given is taken again; what it looks like on the way is compared with PyTorch's files in `published/tests.rs`.
        #[test]
        fn what_was_given_comes_back(rows in 1..5usize, columns in 1..5usize, kind in 0..4usize) {
            let (form, count) = [(Form::Plain, 1), (Form::Plain, 3), (Form::Turned, 1), (Form::After(2), 1)][kind];
            let names: Vec<String> = (0..count).map(|k| k.to_string()).collect();
            let theirs: Vec<&str> = names.iter().map(String::as_str).collect();
            let parameter = Parameter::new("", [count * rows, columns], Init::Constant(0.0));
            let tensor = Tensor::new(parameter.shape.clone(), (0..parameter.len()).map(|k| k as f32).collect());
            let parts = split(form, &tensor, count).into_iter().map(|t| Some((t.shape().to_vec(), Ok(t)))).collect();
            let (shape, back) = joined(&Line::new("", &theirs, form), &parameter, &names, parts).unwrap().unwrap();
            prop_assert_eq!((shape, back.unwrap()), (parameter.shape, tensor));
        }
    }
}
