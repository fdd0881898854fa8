//! What a Dockerfile says, with the place of every word.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// A piece of the text. The value can differ from the text: quotes and line continuations are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word {
    /// What it says.
    pub value: String,
    /// Byte range in the text.
    pub span: Range<usize>,
}

/// The name of an instruction, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyword {
    /// What it says.
    pub value: Cow<'static, str>,
    /// Byte range in the text.
    pub span: Range<usize>,
}

/// A Dockerfile as far as it could be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// `# name=value` lines at the top.
    pub directives: Vec<Directive>,
    /// The character that escapes and continues lines.
    pub escape: char,
    /// `ARG`s in front of the first `FROM`.
    pub global_args: Vec<Instruction>,
    /// The stages in order.
    pub stages: Vec<Arc<Stage>>,
    /// Byte ranges of comments, without those inside here-documents.
    pub comments: Vec<Range<usize>>,
    /// For each instruction with empty lines in it, the place of the first one.
    pub empty_continuations: Vec<usize>,
}

/// A `# name=value` line at the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// `syntax`, `escape` or `check`.
    pub name: String,
    /// What it is set to.
    pub value: Word,
}

/// A `FROM` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Byte range of the `FROM` instruction.
    pub span: Range<usize>,
    /// Its line, from 1.
    pub line: u32,
    /// The keyword as written.
    pub keyword: Keyword,
    /// Lines of the comment directly in front of it, without `#`.
    pub comment: Vec<String>,
    /// What it says.
    pub from: From,
    /// The instructions of the stage.
    pub instructions: Vec<Instruction>,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Byte range in the text, here-documents included.
    pub span: Range<usize>,
    /// First line, from 1.
    pub line: u32,
    /// The keyword as written.
    pub keyword: Keyword,
    /// The instruction on one line, without its here-documents.
    pub code: String,
    /// The lines of the comment directly in front of it, without `#`.
    pub comment: Vec<String>,
    /// What it says.
    pub kind: Kind,
}

/// What an instruction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `ADD`.
    Add(Box<Copy>),
    /// `ARG`.
    Arg(Vec<Arg>),
    /// `CMD`.
    Cmd(CommandLine),
    /// `COPY`.
    Copy(Box<Copy>),
    /// `ENTRYPOINT`.
    Entrypoint(CommandLine),
    /// `ENV`.
    Env(Vec<Pair>),
    /// `EXPOSE`, ports as written.
    Expose(Vec<Word>),
    /// `FROM`, at the start of a stage only.
    From(Box<From>),
    /// `HEALTHCHECK`.
    Healthcheck(Box<Healthcheck>),
    /// `LABEL`.
    Label(Vec<Pair>),
    /// `MAINTAINER`.
    Maintainer(Word),
    /// `ONBUILD`.
    Onbuild(Onbuild),
    /// `RUN`.
    Run(Box<Run>),
    /// `SHELL`.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    Stopsignal(Word),
    /// `USER`.
    User(Word),
    /// `VOLUME`.
    Volume(Vec<Word>),
    /// `WORKDIR`.
    Workdir(Word),
}

/// `FROM [--platform=...] base [AS name]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct From {
    /// Image, stage or `scratch`, variables not expanded.
    pub base: Word,
    /// Name of the stage, lower case.
    pub name: Option<Word>,
    /// Name of the stage as written.
    pub written_name: Option<String>,
    /// `AS`, as written.
    pub as_keyword: Option<Word>,
    /// `--platform`, variables not expanded.
    pub platform: Option<Word>,
}

/// A command in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// `["program", "argument"]`.
    Exec(Vec<String>),
    /// A line for the shell.
    Shell(Word),
}

/// One name of an `ARG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    /// Its name.
    pub name: Word,
    /// Its default, not expanded.
    pub value: Option<Word>,
}

/// One pair of an `ENV` or `LABEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Left of the `=`, not expanded.
    pub name: Word,
    /// Right of the `=`, not expanded.
    pub value: Word,
    /// Written in the old form `ENV name value`.
    pub legacy: bool,
}

/// `COPY` or `ADD`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copy {
    /// Sources that are not here-documents, not expanded.
    pub sources: Vec<Word>,
    /// Sources that are here-documents.
    pub documents: Vec<HereDocument>,
    /// Where to, not expanded.
    pub destination: Word,
    /// `--from`.
    pub from: Option<Word>,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--exclude`.
    pub exclude: Vec<Word>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--checksum` of `ADD`.
    pub checksum: Option<Word>,
    /// `--keep-git-dir` of `ADD`.
    pub keep_git_dir: Option<bool>,
    /// `--unpack` of `ADD`.
    pub unpack: Option<bool>,
}

/// `<<NAME` and the lines up to `NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HereDocument {
    /// The terminator, which is also the name of the file.
    pub name: String,
    /// Where `<<NAME` stands.
    pub marker: Range<usize>,
    /// The name was not quoted: variables are expanded.
    pub expand: bool,
    /// `<<-`: leading tabs are removed.
    pub chomp: bool,
    /// The lines between, as in the text.
    pub content: String,
    /// Where they stand.
    pub span: Range<usize>,
}

impl HereDocument {
    /// The content, without leading tabs after `<<-`.
    pub fn text(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What runs.
    pub command: CommandLine,
    /// Here-documents of the shell form.
    pub documents: Vec<HereDocument>,
    /// `--mount`, in order.
    pub mounts: Vec<Mount>,
    /// `--network`.
    pub network: Option<Word>,
    /// `--security`.
    pub security: Option<Word>,
    /// `--device`, in order.
    pub devices: Vec<Word>,
}

/// `--mount=key=value,...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where the flag stands.
    pub span: Range<usize>,
    /// The keys, lower case, with their values, not expanded.
    pub options: Vec<(String, Option<String>)>,
}

impl Mount {
    /// The stage, image or context that the mount names. Variables are not allowed here.
    pub fn from(&self) -> Option<&str> {
        self.last(&["from"]).filter(|from| !from.is_empty())
    }

    /// Where it is mounted, as written; empty when nothing is.
    pub fn target(&self) -> &str {
        self.last(&["target", "dst", "destination"]).unwrap_or_default()
    }

    fn last(&self, keys: &[&str]) -> Option<&str> {
        let last = self.options.iter().rev().find(|(key, _)| keys.contains(&key.as_str()));
        last.and_then(|(_, value)| value.as_deref())
    }
}

/// `HEALTHCHECK`; durations in nanoseconds, zero means the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", args...]` or `["CMD-SHELL", command]`.
    pub test: Vec<String>,
    /// Time between two checks, ns.
    pub interval: i64,
    /// Time after which a check has failed, ns.
    pub timeout: i64,
    /// Time in which failures do not count, ns.
    pub start_period: i64,
    /// Time between two checks in the start period, ns.
    pub start_interval: i64,
    /// Failures in a row that make a container unhealthy.
    pub retries: i64,
}

/// `ONBUILD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onbuild {
    /// The instruction as the image config keeps it, here-documents included.
    pub trigger: String,
    /// The same, understood; none when there is a mistake in it, which a child of the image would make.
    pub instruction: Option<Box<Instruction>>,
}
