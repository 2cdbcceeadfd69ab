//! `HAProxy` and nginx as TCP proxies: what one would install instead.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{contender, plan, topology::Topology};
use crate::lab::{folder::Folder, plan::vip, process::Process, sockets};

/// Where they listen, and the nodes too.
const PORT: u16 = 443;

/// Starts `HAProxy` in the balancer's place, with a thread on each processor, which is its default.
pub fn start_haproxy(topology: &Topology, folder: &Folder) -> Result<Process> {
    let file = folder.file("haproxy.cfg");
    fs::write(&file, haproxy()).with_context(|| file.display().to_string())?;
    let mut command = topology.balancer.command("haproxy")?;
    command.arg("-db").arg("-f").arg(&file);
    start("haproxy", command, topology, folder)
}

/// Starts nginx in the balancer's place, with a worker for each processor.
pub fn start_nginx(topology: &Topology, folder: &Folder) -> Result<Process> {
    let own = folder.subfolder("nginx-stream")?;
    let file = own.join("nginx.conf");
    fs::write(&file, nginx(&own.display().to_string()))
        .with_context(|| file.display().to_string())?;
    let mut command = topology.balancer.command("nginx")?;
    command.arg("-c").arg(&file).arg("-p").arg(&own);
    command.args(["-e", "stderr"]);
    start("nginx-stream", command, topology, folder)
}

fn start(
    name: &str,
    mut command: std::process::Command,
    topology: &Topology,
    folder: &Folder,
) -> Result<Process> {
    contender::hold_vips(&topology.balancer)?;
    // Or their ports towards the nodes would run out within a minute.
    topology
        .balancer
        .sysctl(&[("net/ipv4/tcp_tw_reuse", "1")])?;
    let log = folder.file(&format!("{name}.log"));
    let mut process = Process::start(name, &mut command, log)?;
    let listen = [SocketAddrV4::new(vip::ACCESS, PORT)];
    process.wait_until(Duration::from_secs(10), |_| {
        sockets::all_listen(&topology.balancer, &listen)
    })?;
    Ok(process)
}

fn nodes() -> impl Iterator<Item = Ipv4Addr> {
    (0..plan::NODES).map(|number| plan::node(number, vip::ACCESS))
}

fn haproxy() -> String {
    let mut text = format!(
        "global\n  maxconn 4000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n\
         frontend access\n  bind {}:{PORT} backlog 4096\n  default_backend nodes\n\
         backend nodes\n  balance roundrobin\n",
        vip::ACCESS
    );
    for (number, node) in nodes().enumerate() {
        let _ = writeln!(text, "  server edge{number} {node}:{PORT}");
    }
    text
}

fn nginx(folder: &str) -> String {
    let mut servers = String::new();
    for node in nodes() {
        let _ = writeln!(servers, "    server {node}:{PORT};");
    }
    format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
         daemon off;\nuser root;\nworker_processes auto;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n\
         events {{ worker_connections 8192; }}\n\
         stream {{\n  upstream nodes {{\n{servers}  }}\n\
         \x20 server {{ listen {}:{PORT} backlog=4096 reuseport; proxy_pass nodes; }}\n}}\n",
        vip::ACCESS
    )
}
