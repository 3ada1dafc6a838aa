use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// Sends what it reads, in Envoy's own protocol.
const SCRIPT: &str = include_str!("client.py");

/// A client in Python, killed when it is dropped.
#[derive(Debug)]
pub(super) struct Client {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    pub(super) fn start(python: &str, to: SocketAddr) -> Self {
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT]).arg(to.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let questions = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut client = Self { child, questions, answers };
        assert_eq!(client.line(), "ready");
        client
    }

    /// Asks with a request, or a health check, as JSON; a failure is an answer with `error` and `detail`.
    pub(super) fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.questions, "{question}").expect("asks");
        let answer = self.line();
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("no JSON: {answer:?}"))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("reads");
        line.trim_end().to_owned()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
