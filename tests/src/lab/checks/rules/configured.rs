//! Rules that a configuration has to follow: `edgelb check` refuses what does not.

use anyhow::Result;

use crate::lab::{
    Lab,
    edgelb::{Instance, config},
    plan::{NODES, Side, vip},
    report::Finding,
};

/// What is wrong with `edgelb check`: it has to name the rule, and this configuration must not pass.
pub fn missing_refusal(lab: &Lab, config: &str, rule: &str) -> Result<Option<String>> {
    let instance = Instance::create(&lab.folder, "refused", config)?;
    let (content, printed) = instance.check()?;
    let named = printed
        .lines()
        .any(|line| line.ends_with(')') && line.contains('(') && names(line, rule));
    Ok((content || !named)
        .then(|| format!("edgelb check does not refuse this by {rule}: {printed}")))
}

/// True for `... (H2, H7)` and both of its rules.
fn names(line: &str, rule: &str) -> bool {
    line.rsplit_once('(').is_some_and(|(_, rules)| {
        rules
            .trim_end_matches(')')
            .split(", ")
            .any(|named| named.split(':').next() == Some(rule))
    })
}

/// A configuration with one more service on a VIP, to the same address of each node.
pub fn with_service(lab: &Lab, listen: &str, treatment: &str, of: &[String]) -> String {
    let nodes: Vec<String> = NODES
        .iter()
        .zip(of)
        .map(|(node, at)| format!("{{ name = {:?}, address = {at:?} }}", node.name))
        .collect();
    config(lab.arrangement)
        + &format!(
            "[[services]]\nname = \"more\"\nlisten = {listen:?}\ntreatment = {treatment:?}\nnodes = [{}]\n",
            nodes.join(", ")
        )
}

/// H5: three VIPs and three addresses of each node outside, all different.
pub fn addresses(lab: &Lab) -> Result<Vec<Finding>> {
    let good = config(lab.arrangement);
    let instance = Instance::create(&lab.folder, "accepted", &good)?;
    let (content, printed) = instance.check()?;
    let mut problems = Vec::new();
    if !content {
        problems.push(format!("edgelb check refuses the lab's own: {printed}"));
    }
    let last = &NODES[NODES.len() - 1];
    let missing = good.replace(&format!("av = \"{}\"\n", last.av), "");
    let twice = good.replace(
        &format!("av = \"{}\"\n", last.av),
        &format!("av = \"{}\"\n", NODES[0].av),
    );
    for wrong in [missing, twice] {
        assert_ne!(wrong, good, "the lab's configuration looks otherwise");
        problems.extend(missing_refusal(lab, &wrong, "H5")?);
    }
    let outside = vip::ALL.len() - 1 + NODES.len() * NODES[0].addresses(Side::External).len();
    Ok(vec![Finding {
        id: "H5",
        asked: "edgelb check: an address missing, an address used twice".to_owned(),
        answered: format!("{outside} public addresses, each once"),
        problems,
        ..Finding::default()
    }])
}

/// H15.
pub fn one_side(lab: &Lab) -> Result<Vec<Finding>> {
    let without = |words: [&str; 2]| -> String {
        config(lab.arrangement)
            .split_inclusive('\n')
            .filter(|line| {
                let internal = line.starts_with("internal = \"");
                let external = ["access", "webconf", "av"]
                    .iter()
                    .any(|role| line.starts_with(&format!("{role} = ")));
                !(internal && words.contains(&"internal")
                    || external && words.contains(&"external"))
            })
            .collect()
    };
    let mut problems = Vec::new();
    for side in ["internal", "external"] {
        problems.extend(missing_refusal(lab, &without([side, ""]), "H15")?);
    }
    // And what is up has both.
    let services = lab.edgelb.instance.status()?.services;
    for side in [vip::ACCESS, vip::INTERNAL] {
        if !services.iter().any(|service| *service.listen.ip() == side) {
            problems.push(format!("nothing is balanced on {side}"));
        }
    }
    Ok(vec![Finding {
        id: "H15",
        asked: "edgelb check: a pool with one side".to_owned(),
        answered: "refused".to_owned(),
        problems,
        ..Finding::default()
    }])
}
