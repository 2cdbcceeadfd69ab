use std::{collections::HashMap, net::Ipv4Addr};

use lb_common::service::NO_POOL;
use proptest::prelude::*;

use super::*;
use crate::config::Config;

/// A plan of these services, each a port and the last bytes of its nodes' addresses.
fn plan(services: &[(u16, Vec<u8>)]) -> Plan {
    let services: Vec<String> = services
        .iter()
        .filter(|(_, nodes)| !nodes.is_empty())
        .map(|(port, nodes)| {
            let nodes: Vec<String> = nodes
                .iter()
                .map(|node| {
                    format!("{{ name = \"n{node}\", address = \"192.0.2.{node}:{port}\" }}")
                })
                .collect();
            format!(
                "[[services]]\nname = \"s{port}\"\nlisten = \"203.0.113.1:{port}/tcp\"\n\
                 treatment = \"snat\"\nnodes = [{}]\n",
                nodes.join(", ")
            )
        })
        .collect();
    let text = format!(
        "[pool]\nname = \"p\"\n[interfaces]\nexternal = [\"e\"]\n{}",
        services.concat()
    );
    Plan::of(&Config::parse(&text).expect("the test's configuration is right"))
}

/// Cell and pool of each node, by port and address.
fn table(indexes: &Indexes, plan: &Plan) -> HashMap<(u16, SocketAddrV4), (u32, u32)> {
    let mut table = HashMap::new();
    for service in &plan.services {
        let index = indexes.service(service.into()).expect("an index");
        for node in &service.nodes {
            let (cell, number) = indexes.node(service.into(), node.address).expect("a cell");
            assert_eq!(cell, node_cell(index, number));
            let pool = indexes.pool(service, node.address).expect("a pool");
            table.insert((service.listen.port(), node.address), (cell, pool));
        }
    }
    table
}

#[test]
fn what_stays_keeps_its_index_and_what_comes_takes_a_free_one() {
    let mut indexes = Indexes::default();
    let before = plan(&[(443, vec![1, 2]), (444, vec![1])]);
    indexes.assign(&before).expect("it fits");
    let held = table(&indexes, &before);
    // Service 443 and node 1 of 444 go, 442 and node 3 of 444 come before the rest.
    let after = plan(&[(442, vec![9]), (444, vec![3, 1])]);
    indexes.assign(&after).expect("it fits");
    let now = table(&indexes, &after);
    let node = |last| SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, last), 444);
    assert_eq!(now[&(444, node(1))], held[&(444, node(1))]);
    assert!(
        held.values()
            .all(|(cell, _)| now[&(444, node(3))].0 != *cell)
    );
    let newcomer = now[&(442, SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 9), 442))];
    assert!(held.values().all(|(_, pool)| newcomer.1 != *pool));
    assert_eq!(indexes.leaving().into_iter().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn an_index_is_free_after_two_looks_without_a_flow() {
    let mut indexes = Indexes::default();
    indexes
        .assign(&plan(&[(443, vec![1, 2])]))
        .expect("it fits");
    indexes.assign(&plan(&[(444, vec![1])])).expect("it fits");
    let mut busy = InUse::default();
    busy.note(1, 1);
    let quiet = InUse::default();
    assert_eq!(indexes.release(&busy), Freed::default());
    let first = Freed {
        cells: vec![0],
        pools: vec![0],
    };
    assert_eq!(indexes.release(&busy), first);
    assert_eq!(indexes.release(&quiet), Freed::default());
    // A flow that shows up late starts the wait anew.
    assert_eq!(indexes.release(&busy), Freed::default());
    assert_eq!(indexes.release(&quiet), Freed::default());
    let second = Freed {
        cells: vec![1],
        pools: vec![1],
    };
    assert_eq!(indexes.release(&quiet), second);
    assert!(indexes.leaving().is_empty());
}

#[test]
fn who_comes_back_while_its_flows_are_there_has_its_old_index() {
    let mut indexes = Indexes::default();
    let both = plan(&[(443, vec![1, 2])]);
    indexes.assign(&both).expect("it fits");
    let held = table(&indexes, &both);
    indexes.assign(&plan(&[(443, vec![2])])).expect("it fits");
    indexes.assign(&both).expect("it fits");
    assert_eq!(table(&indexes, &both), held);
    assert!(indexes.leaving().is_empty());
}

#[test]
fn the_next_daemon_goes_on_with_the_same_indexes() {
    let mut indexes = Indexes::default();
    let config = include_str!("../../../config/edgelb.toml");
    let example = Plan::of(&Config::parse(config).expect("the example is right"));
    indexes
        .assign(&plan(&[(443, vec![1, 2])]))
        .expect("it fits");
    indexes.assign(&example).expect("it fits");
    let mut recovered = Indexes::recover(&indexes.records());
    assert_eq!(recovered.leaving().len(), indexes.nodes.iter().count());
    // Flows of what has gone before are still known as such.
    recovered.assign(&example).expect("it fits");
    assert_eq!(recovered.records(), indexes.records());
    assert_eq!(recovered.leaving(), indexes.leaving());
    assert_eq!(recovered.leaving().len(), 2);
}

#[test]
fn a_plan_that_does_not_fit_changes_nothing() {
    let mut indexes = Indexes::default();
    let all: Vec<u8> = (1..=32).collect();
    let full = plan(&[(443, all)]);
    indexes.assign(&full).expect("it fits");
    let held = table(&indexes, &full);
    // 32 nodes fit, but the 32 that leave are still in their places.
    let others = plan(&[(443, (101..=132).collect())]);
    assert_eq!(indexes.assign(&others), Err(TooLarge::NotYet("node")));
    assert_eq!(table(&indexes, &full), held);
    assert!(indexes.leaving().is_empty());
}

fn any_plan() -> impl Strategy<Value = Vec<(u16, Vec<u8>)>> {
    let nodes = prop::collection::btree_set(1_u8..=6, 1..5);
    let services = prop::collection::btree_map(440_u16..446, nodes, 1..5);
    services.prop_map(|services| {
        let nodes = |nodes: std::collections::BTreeSet<u8>| nodes.into_iter().collect();
        services
            .into_iter()
            .map(|(port, set)| (port, nodes(set)))
            .collect()
    })
}

proptest! {
    /// Whatever the order of changes: nobody's index moves while it stays, and no two have the same.
    #[test]
    fn indexes_are_stable_and_unique(plans in prop::collection::vec(any_plan(), 1..8)) {
        let mut indexes = Indexes::default();
        let mut held = HashMap::new();
        for services in plans {
            let plan = plan(&services);
            indexes.assign(&plan).expect("it fits");
            let now = table(&indexes, &plan);
            for (node, index) in &now {
                if let Some(before) = held.get(node) {
                    prop_assert_eq!(before, index);
                }
            }
            let leaving = indexes.leaving();
            let mut cells: Vec<u32> = now.values().map(|(cell, _)| *cell).collect();
            cells.extend(&leaving);
            let mut unique = cells.clone();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), cells.len());
            // Nothing that is in a flow is ever freed.
            let mut in_use = InUse::default();
            for cell in leaving {
                in_use.note(cell as u16, NO_POOL);
            }
            indexes.release(&in_use);
            prop_assert_eq!(indexes.release(&in_use).cells, Vec::<u32>::new());
            held = now;
        }
    }
}
