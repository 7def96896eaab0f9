//! A connection between two processes: messages with their lengths in front.

use super::Message;
use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

/// The longest that a process waits for another one's message. Ends of processes are noticed at once; this is for hosts that
/// lose power.
const SILENCE: Duration = Duration::from_secs(1800);
/// The longest that somebody who connects may take to greet: others than the run's processes may come by.
const GREETING: Duration = Duration::from_secs(10);
/// The longest message.
const LONGEST: u64 = 1 << 40;

/// The longest message that room is made for before it comes.
const SHORT: u64 = 1 << 16;

/// One end of a connection.
pub(super) struct Wire {
    stream: TcpStream,
}

impl Wire {
    fn new(stream: TcpStream) -> io::Result<Wire> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        Ok(Wire { stream })
    }

    /// Whoever connects next, within `patience`, and his first message, if there is one.
    pub(super) fn accept(listener: &TcpListener, patience: Duration) -> io::Result<(Wire, Option<Message>)> {
        let start = Instant::now();
        listener.set_nonblocking(true)?;
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    let mut wire = Wire::new(stream)?;
                    wire.stream.set_read_timeout(Some(GREETING))?;
                    let greeting = wire.receive().ok();
                    wire.stream.set_read_timeout(Some(SILENCE))?;
                    return Ok((wire, greeting));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && start.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
                Err(e) => return Err(e),
            }
        }
    }

    /// A connection to `address`, tried again and again for as long as `patience` lasts.
    pub(super) fn connect(address: &str, patience: Duration) -> io::Result<Wire> {
        let start = Instant::now();
        loop {
            let found = address.to_socket_addrs().and_then(|mut all| all.next().ok_or(io::ErrorKind::NotFound.into()));
            match found.and_then(|at| TcpStream::connect_timeout(&at, Duration::from_secs(5))) {
                Ok(stream) => return Wire::new(stream),
                Err(e) if start.elapsed() > patience => return Err(e),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.stream.write_all(&(message.len() as u64).to_le_bytes())?;
        self.stream.write_all(message)
    }

    pub(super) fn receive(&mut self) -> io::Result<Message> {
        let mut length = [0; 8];
        self.stream.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this is not one of the run's processes"));
        }
        // A short message never moves, so that what is wiped in the end is all there is, however far it came.
        let mut message = Message::new(Vec::with_capacity(length.min(SHORT) as usize));
        (&mut self.stream).take(length).read_to_end(&mut message)?;
        if message.len() as u64 == length { Ok(message) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Whether the other end is closed.
    pub(super) fn is_closed(&self) -> bool {
        let looked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let _ = self.stream.set_nonblocking(false);
        match looked {
            Ok(bytes) => bytes == 0,
            Err(e) => e.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// In words.
pub(super) fn said(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "its process ended".into()
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "nothing was heard of it for too long".into(),
        _ => e.to_string(),
    }
}
