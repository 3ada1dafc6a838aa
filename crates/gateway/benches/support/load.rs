use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

/// What a load came to.
pub(crate) struct Outcome {
    pub(crate) requests: f64,
    pub(crate) p50_micros: f64,
}

/// Sends `requests` in all over `connections` kept alive, one at a time on each, and checks that every answer is 200.
///
/// Two threads, plain sockets: on each thread the connections take turns, all of a turn sent before the first answer is read.
#[expect(clippy::disallowed_methods, reason = "a load generator measures real time")]
pub(crate) fn run(address: &str, key: &str, requests: usize, connections: usize) -> Outcome {
    let threads = connections.min(2);
    let request = format!(
        "GET /v1/things/42 HTTP/1.1\r\nhost: bench\r\naccept: */*\r\nuser-agent: bench/1\r\nx-api-key: {key}\r\n\r\n"
    );
    let each = requests / connections;
    let mut latencies: Vec<f64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut sockets: Vec<TcpStream> =
                        (0..connections / threads).map(|_| connect(address)).collect();
                    let mut buffer = vec![0; 64 * 1024];
                    let mut latencies = Vec::with_capacity(each);
                    for _ in 0..each {
                        let begun = Instant::now();
                        for socket in &mut sockets {
                            socket.write_all(request.as_bytes()).expect("the request is sent");
                        }
                        for socket in &mut sockets {
                            answer(socket, &mut buffer);
                        }
                        latencies.push(begun.elapsed().as_secs_f64() * 1e6);
                    }
                    latencies
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("the worker ends")).collect()
    });
    latencies.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let requests = (each * connections) as f64;
    Outcome { requests, p50_micros: latencies[latencies.len() / 2] }
}

fn connect(address: &str) -> TcpStream {
    let socket = TcpStream::connect(address).expect("the target listens");
    socket.set_nodelay(true).expect("the option is known");
    socket
}

/// Reads one answer: its head, and as many bytes as its content-length says.
fn answer(socket: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    let whole = loop {
        let read = socket.read(&mut buffer[filled..]).expect("the answer comes");
        assert!(read > 0, "the target closed the connection");
        filled += read;
        let head = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(head) = head {
            let text = std::str::from_utf8(&buffer[..head]).expect("a head is text");
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            let length = text.split("\r\n").find_map(|field| {
                let (name, value) = field.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            break head + 4 + length.expect("the answer states its length");
        }
    };
    while filled < whole {
        filled += socket.read(&mut buffer[filled..]).expect("the body comes");
    }
}
