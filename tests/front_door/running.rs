//! A command that is still running.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use super::{Room, data};

/// `engine` at work: its standard error is read line by line.
pub(crate) struct Running {
    child: Child,
    err: BufReader<ChildStderr>,
    /// What it has said so far.
    pub(crate) said: String,
}

impl Room {
    /// Starts the command in this folder, with these environment variables.
    pub(crate) fn starts(&self, args: &[&str], environment: &[(&str, &str)]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .envs([("NO_COLOR", "1"), ("LC_ALL", "C.UTF-8")])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = {
            let _no_data_is_open = data::writing();
            command.spawn().expect("engine starts")
        };
        let err = BufReader::new(child.stderr.take().expect("a pipe"));
        Running { child, err, said: String::new() }
    }
}

impl Running {
    /// Waits for a line with this part; false when the command ends without one.
    pub(crate) fn until(&mut self, part: &str) -> bool {
        loop {
            let from = self.said.len();
            let read = self.err.read_line(&mut self.said).expect("output can be read");
            if read == 0 || self.said[from..].contains(part) {
                return read > 0;
            }
        }
    }

    /// Sends a signal, by name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("kill starts");
        assert!(sent.success(), "SIG{name} to {id}");
    }

    /// Waits for the end: the exit code, none after a signal that ended it, and everything it has said.
    pub(crate) fn ends(mut self) -> (Option<i32>, String) {
        while self.until("\u{0}") {}
        (self.child.wait().expect("engine can be waited for").code(), self.said)
    }
}
