//! A large download through each VIP.

use std::time::Instant;

use anyhow::Result;

use super::balanced::{ROWS, Row};
use crate::lab::{Lab, clients::Connection, nginx::DOWNLOAD_SIZE, plan::vip, report::Finding};

/// Downloads through one row of each VIP that has one.
pub fn check(lab: &Lab) -> Result<Vec<Finding>> {
    vip::ALL
        .iter()
        .filter_map(|vip| ROWS.iter().find(|row| row.vip == *vip))
        .map(|row| download(row, lab))
        .collect()
}

fn download(row: &Row, lab: &Lab) -> Result<Finding> {
    let from = row.side.asker_address(0);
    let mut problems = Vec::new();
    let (client, who, took) = lab.asker(row.side).enter(|| -> Result<_> {
        let mut connection = Connection::open(from, row.listen(), &lab.tls)?;
        let who = connection.who()?;
        let begun = Instant::now();
        let (length, hash) = connection.download()?;
        let took = begun.elapsed();
        if length != DOWNLOAD_SIZE || hash.as_ref() != lab.content.hash.as_ref() {
            problems.push(format!(
                "{length} bytes with SHA-256 {hash:?} came, and {DOWNLOAD_SIZE} with {:?} were sent",
                lab.content.hash
            ));
        }
        Ok((connection.client, who, took))
    })??;
    let megabytes = DOWNLOAD_SIZE as f64 / 1e6;
    Ok(Finding {
        id: row.id,
        asked: format!("{}/tcp, {megabytes:.0} MB", row.listen()),
        from: client.to_string(),
        answered: format!("{}, {:.0} MB/s", who.node, megabytes / took.as_secs_f64()),
        seen: who.saw.to_string(),
        problems,
    })
}
