//! A server on loopback for tests: it answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

/// What the server does with a connection.
pub enum Reply {
    /// Status line's rest, further headers, body.
    Answer(&'static str, &'static str, String),
    /// It says nothing until the client leaves.
    Silence,
    /// It hangs up.
    HangUp,
}

/// An answer of status 200.
pub fn ok(body: &str) -> Reply {
    Reply::Answer("200 OK", "", body.to_owned())
}

/// Headers in lower case, and body.
pub type Request = (String, String);

/// A server on loopback that treats one connection after the other as `replies` say; its thread gives back the requests.
pub fn serve(replies: Vec<Reply>) -> (String, JoinHandle<Vec<Request>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/reward", listener.local_addr().unwrap());
    let serve = move || {
        replies
            .into_iter()
            .map(|reply| {
                let (mut stream, _) = listener.accept().unwrap();
                let request = read_request(&stream);
                match reply {
                    Reply::Answer(status, headers, body) => {
                        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()).unwrap();
                    }
                    Reply::Silence => drop(stream.read(&mut [0])),
                    Reply::HangUp => {}
                }
                request
            })
            .collect()
    };
    (url, std::thread::spawn(serve))
}

fn read_request(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut headers = String::new();
    while !headers.ends_with("\r\n\r\n") && reader.read_line(&mut headers).unwrap() > 0 {}
    let headers = headers.to_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (headers, String::from_utf8(body).unwrap())
}
