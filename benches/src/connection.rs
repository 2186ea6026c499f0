//! A non-blocking connection: what cannot be written now is kept and written later.
//!
//! Sockets are watched edge-triggered for both directions. Reading is the caller's: it knows what
//! the bytes mean.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use mio::{Interest, Registry, Token};

/// One connection to the server under load.
#[derive(Debug)]
pub struct Connection {
    stream: mio::net::TcpStream,
    unsent: Vec<u8>,
    /// Bytes read but not yet understood.
    held: Vec<u8>,
}

impl Connection {
    /// Connects, waiting for it, and watches the socket under `token`.
    pub fn open(address: SocketAddr, registry: &Registry, token: usize) -> io::Result<Self> {
        Self::watch(TcpStream::connect(address)?, Vec::new(), registry, token)
    }

    /// Goes on with a blocking connection without blocking, and watches it under `token`.
    ///
    /// `held` has been read from it but not understood; it comes first with what is read next.
    pub fn watch(
        stream: TcpStream,
        held: Vec<u8>,
        registry: &Registry,
        token: usize,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, Token(token), both)?;
        Ok(Self {
            stream,
            unsent: Vec::new(),
            held,
        })
    }

    /// Sends `bytes`, now as far as the socket takes them and the rest by [`Self::flush`].
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = if self.unsent.is_empty() {
            write(&mut self.stream, bytes)?
        } else {
            0
        };
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Goes on with what was left unsent; to be called whenever the socket becomes writable.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.unsent.is_empty() {
            let sent = write(&mut self.stream, &self.unsent)?;
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    /// Reads all that is there through `buffer`, and lets `understand` use it.
    ///
    /// `understand` answers how many bytes it used; the rest comes again with more behind it. A
    /// peer that has closed is `UnexpectedEof`.
    pub fn receive(
        &mut self,
        buffer: &mut [u8],
        mut understand: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if self.held.is_empty() {
                let used = understand(&buffer[..count])?;
                self.held.extend_from_slice(&buffer[used..count]);
            } else {
                self.held.extend_from_slice(&buffer[..count]);
                let used = understand(&self.held)?;
                self.held.drain(..used);
            }
            // A read that does not fill the buffer has emptied the socket: asking again would
            // cost a system call for nothing, and what comes later rings again.
            if count < buffer.len() {
                return Ok(());
            }
        }
    }
}

/// Writes until the socket takes no more; the number of bytes it took.
fn write(stream: &mut mio::net::TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
