//! A way into TLS for who speaks none: makes an authority and a listener's certificate in a folder,
//! then carries each connection to the listener that its input names, from the address it came by.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use wholly_tls::authority::Authority;
use wholly_tls::{Caller, Calling, PeerName};

/// By what the listener is known.
const PEER: &str = "127.0.0.1";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("say into which folder: tunnel FOLDER")?;
    let folder = PathBuf::from(folder);
    let authority = Authority::new("tunnel");
    authority.issue(&[PEER]).write(&folder, "listener");
    let calling = Calling { ca: Some(authority.write(&folder)), identity: None };
    let caller = Arc::new(Caller::open(&calling)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ready http://{}", listener.local_addr()?);
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let to: SocketAddr = line.trim().parse()?;
    let (ended, mut end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        io::copy(&mut io::stdin(), &mut io::sink()).ok();
        drop::<tokio::sync::oneshot::Sender<()>>(ended);
    });
    loop {
        let (near, from) = tokio::select! {
            // It ends with its input.
            _gone = &mut end => return Ok(()),
            accepted = listener.accept() => accepted?,
        };
        let caller = Arc::clone(&caller);
        // Whoever is cut off on one side is cut off on the other, and that is all.
        tokio::spawn(async move { carry(near, from.ip(), to, &caller).await.ok() });
    }
}

async fn carry(
    mut near: TcpStream,
    from: IpAddr,
    to: SocketAddr,
    caller: &Caller,
) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let peer = PeerName::new(PEER).expect("an address is a name");
    let far = caller.secure(&peer, socket.connect(to).await?).await;
    let mut far = far.map_err(io::Error::other)?;
    tokio::io::copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
