//! Code: the stable names of everything that can be wrong, in one table.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing is started.
    Error,
    /// Worth knowing; stops nothing.
    Warning,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($variant:ident $number:literal $severity:ident $doc:literal;)*) => {
        /// What is wrong. A number, once given, keeps its meaning for ever.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Code { $(#[doc = $doc] $variant = $number,)* }

        impl Code {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// How bad it usually is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// What it means and what to do, for the reference page.
            pub fn doc(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }
        }
    };
}

codes! {
    Unreadable 1 Error "A file or folder cannot be read. Check the path and its permissions.";
    TooLarge 2 Error "A configuration file is larger than 1 MiB. Split it.";
    NotUtf8 3 Error "A configuration file is not UTF-8 text. Save it as UTF-8.";
    Syntax 4 Error "The file is not valid TOML. Every syntax error of a file is reported; nothing else is judged until they are gone.";
    NoPipelines 5 Error "A folder holds no pipeline file (`*.toml` other than `*.test.toml`), or nothing was given to run.";
    TooMany 6 Error "There are more of something than Lockgate takes, or more problems in a file than it shows.";

    UnknownKey 101 Error "A key has no meaning where it stands. The nearest known key is suggested.";
    WrongType 102 Error "A value has another type than its key takes, or is not one of its choices.";
    MissingKey 103 Error "A key that must be there is not.";
    BadValue 104 Error "A value has the right type but does not make sense, or is outside its limits.";
    BadVersion 105 Error "`version` is missing or is not one that this Lockgate reads. It reads version 1.";
    BadName 106 Error "A name is empty, longer than 64 bytes, or has other characters than a-z, 0-9, `-` and `_`.";
    DuplicateName 107 Error "Two stages of a pipeline, or two pipelines of a run, have the same name.";
    Datetime 108 Error "No setting takes a TOML date or time. Write it as a string.";
    NoBraces 109 Warning "A string looks like a variable without its braces, which is taken as it stands. Write `${NAME}`, or `$$` for a plain dollar sign.";

    BadInterpolation 201 Error "`${` is not followed by a variable's name and `}`. Write `$$` for a plain dollar sign.";
    UnsetVariable 202 Error "A variable without a default is not set. Set it, or write `${NAME:-default}`.";
    SecretFile 203 Error "The file that `secret_file` names cannot be read, is larger than 64 KiB, or is not UTF-8 text.";
    ExpandedTooLarge 204 Error "The values that variables and secret files put into one file are larger than 1 MiB in all.";

    SecretReadable 206 Warning "Others than its owner and its group may read the file of a secret. Take that away: `chmod o= FILE`.";
    UnescapedUrl 207 Error "The user name or password in a URL holds a character that ends it or begins the host: write `%40` for `@`, `%2F` for `/`, `%3A` for `:`, `%3F` for `?`, `%23` for `#`, or leave it out of the URL and set `password`.";

    NoSource 301 Error "The pipeline has no source table.";
    SeveralTransports 302 Error "A source, a route or the dead-letter target names more than one transport. It takes exactly one.";
    UnknownTransport 303 Error "No transport of this name exists, or it cannot be used in this direction.";
    NoTransport 304 Error "A route or the dead-letter target names no transport.";
    BadSetting 305 Error "A transport refuses its settings.";

    UnknownPlugin 401 Error "No shipped plugin has this name. A plugin of your own is given by a path with a `/` in it or that ends in `.wasm`.";
    MissingPlugin 402 Error "The plugin's file does not exist or cannot be read. Paths start from the pipeline file's folder.";
    BadDigest 403 Error "`sha256` is not 64 hexadecimal digits, or pins a shipped plugin.";
    BadModule 404 Error "The plugin's file is not a WebAssembly module that Lockgate can load, or not the one that `sha256` pins.";
    BadContract 405 Error "The plugin speaks a version of the contract that this Lockgate does not.";
    NotGranted 406 Error "The plugin asks for a capability that the pipeline does not grant. Add it to the stage's `grant`, if you trust it with that.";
    PluginSetting 407 Error "The plugin refuses its `config`.";
    BadDescription 408 Error "The plugin's description or the result of its `init` is not what the contract says: a key that is unknown (the nearest known one is suggested) or stands there twice, or a value of another type. Mend the plugin, or use a version of it that was built for this contract.";

    UndeclaredRoute 501 Error "A stage names a route that the pipeline does not declare.";
    MayLeaveUnrouted 502 Error "A message can come out of the last stage with no route, and there is no `[route.default]` for it.";
    UnusedRoute 503 Warning "No stage names this route, so no message can reach it.";
    UnreachableStage 504 Warning "Every message has left the chain before this stage.";
    NoDeadLetter 505 Warning "The pipeline has no `[dead_letter]` target. What it gives up on is rejected, and what the broker makes of that depends on the queue's own policy.";

    Loop 506 Warning "What the pipeline publishes to a route or as a dead letter comes back to its own source, over the exchanges and bindings that the file itself declares: one message becomes any number. Publish elsewhere, or bind the source's queue more narrowly.";
    SharedQueue 507 Warning "Two pipelines of a run take from one queue, so that each gets some of its messages. Give each a queue of its own, bound to the same exchange.";
    UnknownPlaceholder 508 Error "A routing key's template holds a placeholder that routes do not know. They know `{{routing_key}}` and `{{exchange}}`; `transform` makes routing keys of anything else.";

    TokenRequired 601 Error "The admin address is not loopback, so a token is required.";
    StateUnusable 602 Error "The folder of the state, or the file in it, cannot be made, read or written. Check `[state] dir` and its permissions.";
    StateInUse 603 Error "Another process has the state's file open. Give each host a `[state] dir` of its own; to share state between hosts, set `[state] redis`.";
    StateDamaged 604 Error "The state's file is damaged. Restore it, or move it aside to start with nothing remembered: messages that came before may then pass a de-duplication again.";
    NoRoom 605 Error "The machine, or a limit of the process (`ulimit -v`, `LimitAS=` of systemd), gives less memory or address space than the plugins' sandboxes take; nothing is wrong with the plugins. Raise the limit, or set `[engine] memory_reservation` in the host settings, at the price of slower plugins.";

    BrokerRefused 701 Error "The broker refuses what the file declares: a queue or exchange that is missing or exists with other arguments, or the credentials.";
    BrokerUnreachable 702 Error "The broker cannot be reached, so what the file declares cannot be compared with it.";
    MayLose 703 Warning "With these settings the broker can lose messages, whatever Lockgate does.";
    MayReorder 704 Warning "The pipeline keeps messages in order, but nothing keeps a second consumer of its queue away, and two consumers overtake each other.";
    StreamQueue 705 Error "A stream cannot be a source, and holds no dead letters: it keeps no record of what was settled, so that a restart would skip or repeat everything, and a message that is rejected come again for ever. Use a quorum queue. Streams may be targets.";
    MayLoseInCrashes 708 Warning "The source is a quorum queue with a delivery limit (20 from RabbitMQ 4 on, unless set) and without a dead-letter exchange. It drops a message after so many failed deliveries, and each death of a host is one for all that the host had in hand. Give the queue an `x-dead-letter-exchange`, by declaration or policy. A policy that does so already cannot be seen from here: then ignore this.";

    UnknownQueue 801 Error "Which queue holds the dead letters is not known: `[dead_letter]` declares none, or several. Name it with `--queue`.";
    NotBrowsable 802 Error "The pipeline has no `[dead_letter]`, or one that is no RabbitMQ: there is nothing that could be looked at later. `--url` and `--queue` name a queue without a pipeline file.";
    NoReplayTarget 803 Error "Dead letters cannot be replayed to that place. `--to`, `--to-queue` and `--to-exchange` name another one.";
}

impl fmt::Display for Code {
    /// `LG0123`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LG{:04}", *self as u16)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn numbers_ascend_and_so_are_unique() {
        assert!(Code::ALL.windows(2).all(|pair| (pair[0] as u16) < pair[1] as u16));
    }

    /// `BLESS=1` writes the page anew.
    #[test]
    fn reference_page_lists_every_code() {
        let mut page = String::from(
            "# Diagnostics\n\nEvery error and warning about a configuration has a code that keeps its \
             meaning for ever.\nThis page is written from the table in \
             `host/config/src/diagnostic/code.rs` by its test (`BLESS=1`).\n\n\
             | code | severity | meaning and way out |\n|---|---|---|\n",
        );
        for code in Code::ALL {
            writeln!(page, "| {code} | {} | {} |", code.severity().name(), code.doc()).unwrap();
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/diagnostics.md");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), page, "run this test with BLESS=1");
    }
}
