//! Page: the fences of a Markdown document, in order, and what a reader does with each.

/// One fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    /// Of its first line, from 1.
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
}

/// What a reader does with a fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Saves a file of that name.
    Save(String),
    /// Writes a table of a file anew: the file's name, the table's header.
    Replace(String, String),
    /// Uses it as a part of a pipeline file.
    Part,
    /// Runs it as a script.
    Script,
    /// Types each command, and sees what it prints.
    Session(Vec<Command>),
    /// Writes it as a predicate: one a line.
    Predicates,
    /// Reads it.
    Read,
}

/// A command and what it prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) text: String,
    pub(crate) prints: Vec<String>,
}

/// All fences of a document. One that is never closed ends with the document.
pub(crate) fn fences(document: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut open: Option<Fence> = None;
    for (at, line) in document.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => fences.extend(open.take()),
            (Some(language), None) => {
                let language = language.trim().to_owned();
                open = Some(Fence { line: at + 1, language, text: String::new() });
            }
            (None, Some(fence)) => {
                fence.text.push_str(line);
                fence.text.push('\n');
            }
            (None, None) => {}
        }
    }
    fences.extend(open);
    fences
}

impl Fence {
    /// What a reader does with it. `Err` for a fence that says too little.
    pub(crate) fn act(&self) -> Result<Act, String> {
        match self.language.as_str() {
            "toml" => Ok(self.toml()),
            "sh" => Ok(Act::Script),
            "console" => Ok(Act::Session(self.session())),
            "cel" => Ok(Act::Predicates),
            "" if self.text.lines().any(|line| line.starts_with("$ ")) => {
                Err("commands and no language: `console`".to_owned())
            }
            "" => Err("no language: `text` for what is only read".to_owned()),
            _ => Ok(Act::Read),
        }
    }

    /// The first line may say where it goes: `# name.toml`, or `# name.toml: [table]`.
    fn toml(&self) -> Act {
        let first = self.text.lines().next().unwrap_or_default();
        let Some(note) = first.strip_prefix("# ") else { return Act::Part };
        match note.split_once(": ") {
            None if note.ends_with(".toml") && !note.contains(' ') => Act::Save(note.to_owned()),
            Some((file, table)) if file.ends_with(".toml") && table.starts_with('[') => {
                Act::Replace(file.to_owned(), table.to_owned())
            }
            _ => Act::Part,
        }
    }

    fn session(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(text), _) => {
                    commands.push(Command { text: text.to_owned(), prints: Vec::new() });
                }
                (None, Some(command)) => command.prints.push(line.to_owned()),
                (None, None) => {}
            }
        }
        commands
    }
}

/// `text` with the table `header` and all below it, up to the next header, written anew.
pub(crate) fn replace_table(text: &str, header: &str, anew: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|line| *line == header)?;
    let length = lines.iter().skip(start + 1).position(|line| line.starts_with('['));
    let end = length.map_or(lines.len(), |length| start + 1 + length);
    let (before, after) = (lines.get(..start)?, lines.get(end..)?);
    Some([&before.join("\n"), "\n", anew, "\n", &after.join("\n"), "\n"].concat())
}

#[test]
fn a_fence_says_what_is_done_with_it() {
    let page = "# Page\n```toml\n# a.toml\nx = 1\n```\ntext\n```console\n$ one\n…\n$ two\n```\n\
                ```toml\n# a.toml: [t]\n[t]\ny = 2\n```\n```toml\n[[stage]]\n```\n```\nnothing\n```\n";
    let fences = fences(page);
    let acts: Vec<_> = fences.iter().map(Fence::act).collect();
    let command = |text: &str, prints: &[&str]| Command {
        text: text.to_owned(),
        prints: prints.iter().map(|line| (*line).to_owned()).collect(),
    };
    assert_eq!(acts[0], Ok(Act::Save("a.toml".to_owned())));
    assert_eq!(acts[1], Ok(Act::Session(vec![command("one", &["…"]), command("two", &[])])));
    assert_eq!(acts[2], Ok(Act::Replace("a.toml".to_owned(), "[t]".to_owned())));
    assert_eq!(acts[3], Ok(Act::Part));
    assert!(acts[4].is_err());
    assert_eq!(fences[1].line, 7);
    let text = "[s]\na = 1\n\n[t]\nx = 1\n[t.u]\ny = 1\n[v]\n";
    let anew = replace_table(text, "[t]", "[t]\nz = 3").unwrap();
    assert_eq!(anew, "[s]\na = 1\n\n[t]\nz = 3\n[t.u]\ny = 1\n[v]\n");
}
