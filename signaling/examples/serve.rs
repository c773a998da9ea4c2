//! A signaling server with the web client inside, until Ctrl-C.
//!
//! ```text
//! cargo run -p duet-signaling --example serve -- 127.0.0.1:8080
//! ```

use std::error::Error;
use std::net::SocketAddr;

use duet_signaling::{Server, ServerConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listen: SocketAddr = std::env::args()
        .nth(1)
        .as_deref()
        .unwrap_or("127.0.0.1:8080")
        .parse()?;
    let server = Server::bind(ServerConfig {
        listen,
        ..ServerConfig::default()
    })
    .await?;
    println!("{}", server.url());
    let ctrl_c = async {
        // Without a handler for it there is no Ctrl-C to wait for, and the server stops at once.
        let _ = tokio::signal::ctrl_c().await;
    };
    Ok(server.run_until(ctrl_c).await?)
}
