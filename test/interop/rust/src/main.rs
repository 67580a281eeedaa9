//! rust-spiffe as a peer: a server and a client over rustls, and a reader of a Workload API. The tests in the folder
//! above run it. It prints one JSON object a line.

use data_encoding::BASE64;
use serde_json::{json, Value};
use spiffe::{WorkloadApiClient, X509Source};
use spiffe_rustls::{authorizer, mtls_client, mtls_server};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["version"] => version(),
        ["serve", socket, peer] => serve(socket, peer).await,
        ["call", socket, peer, address] => call(socket, peer, address).await,
        ["x509", socket] => read_x509(socket).await,
        _ => Err("usage: interop version | serve SOCKET PEER | call SOCKET PEER HOST:PORT | x509 SOCKET".into()),
    };
    if let Err(error) = outcome {
        say(json!({ "error": told(error.as_ref()) }));
        std::process::exit(1);
    }
}

/// What Cargo.lock holds, and so what was built in.
fn version() -> Outcome {
    let of = |name: &str| {
        include_str!("../Cargo.lock")
            .split("[[package]]")
            .find(|package| package.contains(&format!("name = \"{name}\"\n")))
            .and_then(|package| package.split('"').nth(3))
            .map(str::to_owned)
    };
    say(json!({ "version": of("spiffe"), "rustls": of("spiffe-rustls") }));
    Ok(())
}

async fn open(socket: &str) -> Result<X509Source, Box<dyn Error + Send + Sync>> {
    let source = spiffe::X509SourceBuilder::new().endpoint(socket).build();
    Ok(tokio::time::timeout(PATIENCE, source).await??)
}

/// Answers each request with what it knows of its peer, until standard input ends.
async fn serve(socket: &str, peer: &str) -> Outcome {
    let source = open(socket).await?;
    let config = mtls_server(source).authorize(authorizer::exact([peer])?).build()?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(json!({ "port": listener.local_addr()?.port() }));
    let mut ended = Box::pin(async {
        let mut rest = Vec::new();
        tokio::io::stdin().read_to_end(&mut rest).await
    });
    loop {
        tokio::select! {
            _ = &mut ended => return Ok(()),
            accepted = listener.accept() => {
                let (tcp, _) = accepted?;
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Err(error) = answer(acceptor, tcp).await {
                        say(json!({ "refused": told(error.as_ref()) }));
                    }
                });
            }
        }
    }
}

async fn answer(acceptor: TlsAcceptor, tcp: TcpStream) -> Outcome {
    let mut tls = acceptor.accept(tcp).await?;
    let connection = tls.get_ref().1;
    let peer = peer_of(connection.peer_certificates())?;
    let version = format!("{:?}", connection.protocol_version());
    let mut reader = BufReader::new(&mut tls);
    let (first, body) = read_message(&mut reader).await?;
    let method = first.split(' ').next().unwrap_or_default();
    let said = json!({ "peer": peer, "method": method, "body": body, "version": version }).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        said.len()
    );
    tls.write_all(head.as_bytes()).await?;
    tls.write_all(said.as_bytes()).await?;
    Ok(tls.shutdown().await?)
}

/// Sends one request and tells of the answer.
async fn call(socket: &str, peer: &str, address: &str) -> Outcome {
    let source = open(socket).await?;
    let config = mtls_client(source).authorize(authorizer::exact([peer])?).build()?;
    let tcp = TcpStream::connect(address).await?;
    // rustls wants a name; the identity is the SPIFFE ID.
    let name = rustls::pki_types::ServerName::try_from("localhost")?;
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let request = format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Length: 9\r\nConnection: close\r\n\r\nfrom rust");
    tls.write_all(request.as_bytes()).await?;
    let connection = tls.get_ref().1;
    let server = peer_of(connection.peer_certificates())?;
    let version = format!("{:?}", connection.protocol_version());
    let (first, body) = read_message(&mut BufReader::new(&mut tls)).await?;
    let status: u16 = first.split(' ').nth(1).unwrap_or_default().parse()?;
    say(json!({ "status": status, "body": body, "peer": server, "version": version }));
    Ok(())
}

/// One HTTP/1.1 message: its first line, and its body by `Content-Length` or in chunks.
async fn read_message<R: AsyncRead + Unpin>(
    reader: &mut BufReader<R>,
) -> Result<(String, String), Box<dyn Error + Send + Sync>> {
    let first = read_line(reader).await?;
    let (mut length, mut chunked) = (0, false);
    loop {
        let line = read_line(reader).await?.to_ascii_lowercase();
        match line.split_once(": ") {
            Some(("content-length", value)) => length = value.parse()?,
            Some(("transfer-encoding", "chunked")) => chunked = true,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = Vec::new();
    loop {
        if chunked {
            length = usize::from_str_radix(&read_line(reader).await?, 16)?;
        }
        let from = body.len();
        body.resize(from + length, 0);
        reader.read_exact(&mut body[from..]).await?;
        if !chunked || length == 0 {
            break;
        }
        read_line(reader).await?;
    }
    Ok((first, String::from_utf8(body)?))
}

async fn read_line<R: AsyncRead + Unpin>(
    reader: &mut BufReader<R>,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut line = String::new();
    if reader.read_line(&mut line).await? == 0 {
        return Err("closed before the message ended".into());
    }
    Ok(line.trim_end().to_owned())
}

fn peer_of(
    certificates: Option<&[rustls::pki_types::CertificateDer<'_>]>,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let leaf = certificates.and_then(<[_]>::first).ok_or("no certificate")?;
    Ok(spiffe::cert::spiffe_id_from_der(leaf)?.to_string())
}

/// Tells of the X.509 state as it is now.
async fn read_x509(socket: &str) -> Outcome {
    let client = WorkloadApiClient::connect_to(socket).await?;
    let context = tokio::time::timeout(PATIENCE, client.fetch_x509_context()).await??;
    let svids: Vec<Value> = context
        .svids()
        .iter()
        .map(|svid| {
            json!({
                "id": svid.spiffe_id().to_string(),
                "hint": svid.hint().unwrap_or_default(),
                "chain": svid.cert_chain().iter().map(|certificate| BASE64.encode(certificate.as_bytes())).collect::<Vec<_>>(),
            })
        })
        .collect();
    let bundles: serde_json::Map<String, Value> = context
        .bundle_set()
        .iter()
        .map(|(domain, bundle)| {
            let list: Vec<String> = bundle.authorities().iter().map(|authority| BASE64.encode(authority.as_bytes())).collect();
            (domain.to_string(), json!(list))
        })
        .collect();
    say(json!({ "svids": svids, "bundles": bundles }));
    Ok(())
}

/// The error with its causes.
fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn say(value: Value) {
    println!("{value}");
}
