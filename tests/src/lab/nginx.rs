//! nginx: answers over HTTP and TLS, and says who it is and whom it sees. Where sipp is, it has TLS on
//! behalf of that.

use std::{
    fs,
    io::Read as _,
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use ring::digest::{Digest, SHA256, digest};
use rustls::pki_types::CertificateDer;

use super::{
    certificates::Authority, folder::Folder, namespace::Namespace, process::Process, sockets,
};

/// Size of the file for downloads (bytes).
pub const DOWNLOAD_SIZE: usize = 50_000_000;

/// Path of the file for downloads.
pub const DOWNLOAD: &str = "/download";

/// Path that answers with who answers and whom it sees.
pub const WHO: &str = "/who";

/// Content that every nginx serves.
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

/// What one nginx is to do.
#[derive(Debug, Default)]
pub struct Site {
    /// Its name, which its answers carry.
    pub name: &'static str,
    /// The domain that it is a server of.
    pub domain: &'static str,
    /// Addresses that its certificate is good for.
    pub addresses: Vec<Ipv4Addr>,
    /// Where it speaks HTTP.
    pub http: Vec<SocketAddrV4>,
    /// Where it speaks HTTP over TLS.
    pub https: Vec<SocketAddrV4>,
    /// Connections that it gives mutual TLS.
    pub mutual_tls: Vec<MutualTls>,
}

/// Mutual TLS on behalf of a program that has none.
#[derive(Debug)]
pub enum MutualTls {
    /// Takes it off what comes, and passes that on.
    Incoming {
        /// Where it comes.
        listen: SocketAddrV4,
        /// Where it goes to.
        to: SocketAddrV4,
    },
    /// Puts it on what goes out.
    Outgoing {
        /// Where it comes.
        listen: SocketAddrV4,
        /// The address that it leaves from.
        from: Ipv4Addr,
        /// Where it goes to.
        to: SocketAddrV4,
        /// The domain of whoever answers there.
        domain: &'static str,
    },
}

impl MutualTls {
    const fn listen(&self) -> SocketAddrV4 {
        match self {
            Self::Incoming { listen, .. } | Self::Outgoing { listen, .. } => *listen,
        }
    }

    fn server(&self) -> String {
        match self {
            Self::Incoming { listen, to } => {
                format!("    server {{ listen {listen} ssl; proxy_pass {to}; }}\n")
            }
            Self::Outgoing {
                listen,
                from,
                to,
                domain,
            } => format!(
                "    server {{ listen {listen}; proxy_pass {to}; proxy_bind {from}; proxy_ssl on; proxy_ssl_name {domain}; }}\n"
            ),
        }
    }
}

/// A running nginx.
pub struct Nginx {
    process: Process,
    access_log: PathBuf,
    listeners: Vec<SocketAddrV4>,
    /// What it shows to clients.
    pub certificate: CertificateDer<'static>,
}

impl Nginx {
    /// Starts it.
    pub fn start(
        site: &Site,
        namespace: &Namespace,
        authority: &Authority,
        content: &Content,
        folder: &Folder,
    ) -> Result<Self> {
        let own = folder.subfolder(site.name)?;
        let certificate = authority.certify(
            site.name,
            site.domain,
            &site.addresses,
            &own.join("certificate.pem"),
            &own.join("key.pem"),
        )?;
        authority.write(&own.join("authority.pem"))?;
        let configuration = own.join("nginx.conf");
        fs::write(
            &configuration,
            configuration_for(site, &own, &content.folder),
        )
        .with_context(|| configuration.display().to_string())?;
        let mut command = namespace.command("nginx")?;
        command
            .arg("-c")
            .arg(&configuration)
            .arg("-p")
            .arg(&own)
            .args(["-e", "stderr"]);
        let process = Process::start(site.name, &mut command, own.join("nginx.log"))?;
        let mutual_tls = site.mutual_tls.iter().map(MutualTls::listen);
        Ok(Self {
            process,
            access_log: own.join("access.log"),
            listeners: [&site.http[..], &site.https[..]]
                .concat()
                .into_iter()
                .chain(mutual_tls)
                .collect(),
            certificate,
        })
    }

    /// Waits until it answers.
    pub fn wait(&mut self, namespace: &Namespace) -> Result<()> {
        let listeners = &self.listeners;
        self.process.wait_until(Duration::from_secs(10), |_| {
            sockets::all_listen(namespace, listeners)
        })
    }

    /// Whom it has answered over HTTP, as it has noted itself.
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

fn configuration_for(site: &Site, own: &Path, content: &Path) -> String {
    let own = own.display();
    let listen = |addresses: &[SocketAddrV4], tls| -> String {
        addresses.iter().fold(String::new(), |lines, address| {
            lines + &format!("        listen {address}{tls} backlog=4096;\n")
        })
    };
    let mutual_tls: String = site.mutual_tls.iter().map(MutualTls::server).collect();
    // A module of its own, which only the hosts with sipp need.
    let (module, stream) = if mutual_tls.is_empty() {
        ("", String::new())
    } else {
        (
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n",
            format!(
                r"stream {{
    ssl_certificate {own}/certificate.pem;
    ssl_certificate_key {own}/key.pem;
    ssl_client_certificate {own}/authority.pem;
    ssl_verify_client on;
    proxy_ssl_certificate {own}/certificate.pem;
    proxy_ssl_certificate_key {own}/key.pem;
    proxy_ssl_trusted_certificate {own}/authority.pem;
    proxy_ssl_verify on;
{mutual_tls}}}
"
            ),
        )
    };
    format!(
        r#"{module}daemon off;
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
{http}{https}        root {content};
        location = {WHO} {{
            default_type application/json;
            return 200 '{{"node":"{name}","address":"$server_addr:$server_port","saw":"$remote_addr:$remote_port"}}';
        }}
    }}
}}
{stream}"#,
        http = listen(&site.http, ""),
        https = listen(&site.https, " ssl"),
        content = content.display(),
        name = site.name,
    )
}
