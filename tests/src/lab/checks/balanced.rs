//! Rows with the path `balanced` and TLS that is not SIP: many clients ask a VIP, and every node answers its share.

use std::{
    collections::{BTreeSet, HashSet},
    net::{Ipv4Addr, SocketAddrV4},
};

use anyhow::Result;

use super::Effort;
use crate::lab::{
    Lab,
    clients::{Answered, Question, ask_all},
    plan::{
        ASKERS, NODES,
        Side::{self, External, Internal},
        vip,
    },
    report::{Finding, tally},
};

/// A row of the requirements.
#[derive(Debug)]
pub struct Row {
    /// Its id.
    pub id: &'static str,
    /// Name of its test.
    pub name: &'static str,
    /// The side that it is on.
    pub side: Side,
    /// The VIP.
    pub vip: Ipv4Addr,
    /// The port.
    pub port: u16,
}

/// The rows.
pub static ROWS: [Row; 4] = [
    row("EV3", "ev3_access_443", External, vip::ACCESS, 443),
    row("EV1", "ev1_access_5269", External, vip::ACCESS, 5269),
    row("EV6", "ev6_webconf_443", External, vip::WEBCONF, 443),
    row("IV3", "iv3_internal_5062", Internal, vip::INTERNAL, 5062),
];

const fn row(id: &'static str, name: &'static str, side: Side, vip: Ipv4Addr, port: u16) -> Row {
    Row {
        id,
        name,
        side,
        vip,
        port,
    }
}

impl Row {
    /// What clients ask.
    pub const fn listen(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.vip, self.port)
    }

    /// That many questions, each from another client as long as there are some.
    pub fn questions(&self, count: usize) -> Vec<Question> {
        (0..ASKERS)
            .cycle()
            .take(count)
            .map(|number| Question {
                from: self.side.asker_address(number),
                to: self.listen(),
            })
            .collect()
    }

    /// Asks, and holds what was answered; what was not is told as a problem.
    pub fn ask(&self, lab: &Lab, effort: &Effort) -> Result<(Vec<Answered>, Vec<String>)> {
        let questions = self.questions(effort.connections);
        let mut answers = Vec::new();
        let mut problems = Vec::new();
        for answer in ask_all(lab.asker(self.side), &lab.tls, &questions, effort.pace)? {
            match answer {
                Ok(answered) => {
                    problems.extend(self.complaint(lab, &answered));
                    answers.push(answered);
                }
                Err(error) => problems.push(format!("{error:#}")),
            }
        }
        Ok((answers, problems))
    }

    /// What is wrong with one answer. That it came from the VIP needs no look: the client's socket takes
    /// packets from nobody else (H3), and the certificate was good for it.
    fn complaint(&self, lab: &Lab, Answered { connection, who }: &Answered) -> Option<String> {
        let client = connection.client;
        let Some((node, nginx)) = NODES
            .iter()
            .zip(&lab.nodes)
            .find(|(node, _)| node.name == who.node)
        else {
            return Some(format!("{client}: answered by {}, who is that?", who.node));
        };
        if connection.certificate() != Some(&nginx.certificate) {
            return Some(format!(
                "{client}: {} has shown another's certificate",
                who.node
            ));
        }
        if node.behind(self.vip) != Some(*who.address.ip()) || who.address.port() != self.port {
            return Some(format!("{client}: was answered by {}", who.address));
        }
        // H6, as nginx sees it.
        (*who.saw.ip() != self.vip)
            .then(|| format!("{client}: {} saw {}, not the VIP", who.node, who.saw))
    }
}

/// Asks one row.
pub fn check(row: &Row, lab: &Lab, effort: &Effort) -> Result<Vec<Finding>> {
    let (answers, mut problems) = row.ask(lab, effort)?;
    let nodes: Vec<&str> = answers
        .iter()
        .map(|answer| answer.who.node.as_str())
        .collect();
    problems.extend(super::unfair(&nodes, effort.connections));
    let seen = distinct_sources(&answers);
    if seen != answers.len() {
        problems.push(format!(
            "{} connections have {seen} sources towards the nodes: some share one",
            answers.len(),
        ));
    }
    let clients: HashSet<_> = answers
        .iter()
        .map(|answer| answer.connection.client.ip())
        .collect();
    Ok(vec![Finding {
        id: row.id,
        asked: format!("{}/tcp, {} x TLS", row.listen(), effort.connections),
        from: format!(
            "{} addresses of {}",
            clients.len(),
            row.side.networks().askers
        ),
        answered: tally(nodes),
        seen: sources(&answers),
        problems,
    }])
}

/// The sources that nodes saw: `203.0.113.10, 200 ports`.
pub fn sources(answers: &[Answered]) -> String {
    let addresses: BTreeSet<_> = answers.iter().map(|answer| answer.who.saw.ip()).collect();
    let addresses: Vec<_> = addresses.into_iter().map(ToString::to_string).collect();
    format!(
        "{}, {} ports",
        addresses.join(", "),
        distinct_sources(answers)
    )
}

/// The same source may be used towards two nodes, or two ports of one, at the same time.
fn distinct_sources(answers: &[Answered]) -> usize {
    let sources: HashSet<_> = answers
        .iter()
        .map(|answer| (answer.who.address, answer.who.saw))
        .collect();
    sources.len()
}
