//! nginx on the nodes: answers over TLS, and says who it is and whom it sees.

use std::{
    fs,
    io::Read as _,
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use ring::digest::{Digest, SHA256, digest};
use rustls::pki_types::CertificateDer;

use super::{
    certificates::Authority, folder::Folder, namespace::Namespace, plan::Node, process::Process,
};

/// Size of the file for downloads (bytes).
pub const DOWNLOAD_SIZE: usize = 50_000_000;

/// Path of the file for downloads.
pub const DOWNLOAD: &str = "/download";

/// Path that answers with who answers and whom it sees.
pub const WHO: &str = "/who";

/// Content that both nodes serve.
pub struct Content {
    folder: PathBuf,
    /// SHA-256 of the download.
    pub hash: Digest,
}

impl Content {
    /// Makes it: random bytes, which nothing on the way could guess or compress.
    pub fn create(folder: &Folder) -> Result<Self> {
        let path = folder.subfolder("content")?;
        let mut bytes = vec![0; DOWNLOAD_SIZE];
        fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        fs::write(path.join(DOWNLOAD.trim_start_matches('/')), &bytes)
            .context("content for downloads")?;
        Ok(Self {
            folder: path,
            hash: digest(&SHA256, &bytes),
        })
    }
}

/// nginx on one node.
pub struct Nginx {
    process: Process,
    access_log: PathBuf,
    /// What it shows to clients.
    pub certificate: CertificateDer<'static>,
}

impl Nginx {
    /// Starts it on every address of the node.
    pub fn start(
        node: &Node,
        namespace: &Namespace,
        authority: &Authority,
        content: &Content,
        folder: &Folder,
    ) -> Result<Self> {
        let own = folder.subfolder(node.name)?;
        let certificate =
            authority.certify(node, &own.join("certificate.pem"), &own.join("key.pem"))?;
        let configuration = own.join("nginx.conf");
        fs::write(
            &configuration,
            configuration_for(node, &own, &content.folder),
        )
        .with_context(|| configuration.display().to_string())?;
        let mut command = namespace.command("nginx")?;
        command
            .arg("-c")
            .arg(&configuration)
            .arg("-p")
            .arg(&own)
            .args(["-e", "stderr"]);
        let process = Process::start(node.name, &mut command, own.join("nginx.log"))?;
        Ok(Self {
            process,
            access_log: own.join("access.log"),
            certificate,
        })
    }

    /// Waits until it answers.
    pub fn wait(&mut self, node: &Node, namespace: &Namespace) -> Result<()> {
        let listeners = listeners(node);
        self.process.wait_until(Duration::from_secs(10), |_| {
            namespace
                .enter(|| {
                    listeners
                        .iter()
                        .all(|address| TcpStream::connect(address).is_ok())
                })
                .unwrap_or(false)
        })
    }

    /// Whom it has answered, as it has noted itself.
    pub fn clients(&self) -> Result<Vec<SocketAddrV4>> {
        let log = fs::read_to_string(&self.access_log)
            .with_context(|| self.access_log.display().to_string())?;
        Ok(log.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Leaves it running when this is dropped.
    pub fn keep(&mut self) {
        self.process.keep();
    }
}

/// What the pool's services listen on, in clear text or not: here all of them speak TLS.
fn listeners(node: &Node) -> Vec<SocketAddrV4> {
    let on = |address: Ipv4Addr, ports: &[u16]| -> Vec<SocketAddrV4> {
        ports
            .iter()
            .map(|port| SocketAddrV4::new(address, *port))
            .collect()
    };
    [
        on(node.access, &[443, 5061, 5269]),
        on(node.webconf, &[443]),
        on(node.internal, &[5061, 5062]),
    ]
    .concat()
}

fn configuration_for(node: &Node, own: &Path, content: &Path) -> String {
    let own = own.display();
    let listen: Vec<String> = listeners(node)
        .iter()
        .map(|address| format!("        listen {address} ssl backlog=4096;\n"))
        .collect();
    let listen = listen.concat();
    format!(
        r#"daemon off;
# The files are root's, like the lab.
user root;
worker_processes 1;
pid {own}/nginx.pid;
error_log {own}/error.log notice;
events {{ worker_connections 8192; }}
http {{
    log_format client '$remote_addr:$remote_port';
    access_log {own}/access.log client;
    client_body_temp_path {own}/body;
    proxy_temp_path {own}/proxy;
    fastcgi_temp_path {own}/fastcgi;
    uwsgi_temp_path {own}/uwsgi;
    scgi_temp_path {own}/scgi;
    keepalive_timeout 1h;
    ssl_certificate {own}/certificate.pem;
    ssl_certificate_key {own}/key.pem;
    server {{
{listen}        root {content};
        location = {WHO} {{
            default_type application/json;
            return 200 '{{"node":"{name}","address":"$server_addr:$server_port","saw":"$remote_addr:$remote_port"}}';
        }}
    }}
}}
"#,
        content = content.display(),
        name = node.name,
    )
}
