//! A service of the host's own, for as long as an audit takes.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Listens on all IPv4 addresses and answers everybody with a token; stops when dropped.
pub(super) struct Listener {
    pub port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Opens a port that is free.
    pub fn open(token: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    // Whoever goes away before it is told has been told enough.
                    Ok((mut client, _)) => drop(client.write_all(token.as_bytes())),
                    Err(_) => std::thread::sleep(Duration::from_millis(10)),
                }
            }
        })?;
        Ok(Self { port, stop, thread: Some(thread) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            drop(thread.join());
        }
    }
}

/// The address that this host has towards the outside, if it has one. Nothing is sent.
pub(super) fn own_address() -> Option<String> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    Some(socket.local_addr().ok()?.ip().to_string()).filter(|ip| !ip.starts_with("127."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn it_answers_while_it_lives() {
        let listener = Listener::open("token".into()).unwrap();
        let port = listener.port;
        let mut said = String::new();
        let mut client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        client.read_to_string(&mut said).unwrap();
        assert_eq!(said, "token");
        drop(listener);
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
