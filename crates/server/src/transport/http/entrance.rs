//! The entrance: connections come in as they are, or by a handshake of TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wholly_tls::{Acceptor, Expiries, Listening, Stream, TlsError, Unaccepted};

/// What a listener does with whoever comes.
#[derive(Debug)]
pub(crate) struct Entrance {
    acceptor: Option<Acceptor>,
}

/// Why the files of a listener that were read again are not those that it goes by.
#[derive(Debug, thiserror::Error)]
pub enum EntranceError {
    /// One of them cannot be used.
    #[error(transparent)]
    Files(#[from] TlsError),
    /// Who speaks TLS goes on so, and who does not, too: clients could not follow.
    #[error("TLS is turned on or off by tls.certificate only at a start; start it again")]
    Switched,
}

impl Entrance {
    /// Reads the files; without any, connections come in as they are.
    pub(crate) fn open(listening: Option<&Listening>) -> Result<Arc<Entrance>, TlsError> {
        Ok(Arc::new(Entrance { acceptor: listening.map(Acceptor::open).transpose()? }))
    }

    /// Reads the files again, for the connections that come from here on.
    pub(crate) fn reload(&self, listening: Option<&Listening>) -> Result<(), EntranceError> {
        match (&self.acceptor, listening) {
            (Some(acceptor), Some(listening)) => Ok(acceptor.reload(listening)?),
            (None, None) => Ok(()),
            (Some(_), None) | (None, Some(_)) => Err(EntranceError::Switched),
        }
    }

    /// Whether nobody on the way can read what is said.
    pub(crate) fn is_secured(&self) -> bool {
        self.acceptor.is_some()
    }

    /// Up to when the certificate holds that clients are shown.
    pub(crate) fn own(&self) -> Expiries {
        self.acceptor.as_ref().map(Acceptor::own).unwrap_or_default()
    }

    /// Up to when the authorities hold by which clients are known.
    pub(crate) fn clients(&self) -> Expiries {
        self.acceptor.as_ref().map(Acceptor::clients).unwrap_or_default()
    }

    /// Lets a connection in. Its handshake goes on while it is read, so that whoever accepts the
    /// next one never waits for it, and is over within this time; one that fails is told.
    pub(super) fn admit<S>(
        self: &Arc<Self>,
        stream: S,
        within: Duration,
        failed: impl FnOnce(&Unaccepted) + Send + 'static,
    ) -> Entering<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if self.acceptor.is_none() {
            return Entering::Inside(Stream::Plain(stream));
        }
        let entrance = Arc::clone(self);
        Entering::Shaking(Box::pin(async move {
            let acceptor = entrance.acceptor.as_ref().expect("it was there before");
            let accepted = acceptor.accept(stream, within).await;
            accepted.map_err(|error| {
                failed(&error);
                io::Error::new(io::ErrorKind::ConnectionAborted, error)
            })
        }))
    }
}

/// A connection, perhaps still in its handshake.
pub(super) enum Entering<S> {
    Shaking(Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>),
    Inside(Stream<S>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Entering<S> {
    /// The stream, once the hands are shaken.
    fn poll_inside(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Pin<&mut Stream<S>>>> {
        if let Entering::Shaking(handshake) = self {
            *self = Entering::Inside(ready!(handshake.as_mut().poll(context))?);
        }
        match self {
            Entering::Inside(stream) => Poll::Ready(Ok(Pin::new(stream))),
            Entering::Shaking(_) => unreachable!("it was shaken above"),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Entering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_inside(context))?.poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Entering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_inside(context))?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_inside(context))?.poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            // Nothing has been written.
            Entering::Shaking(_) => Poll::Ready(Ok(())),
            Entering::Inside(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            // Whoever has not come in has nothing to be told.
            Entering::Shaking(_) => Poll::Ready(Ok(())),
            Entering::Inside(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
