//! How `[[health.services]]` fits with the services that there are.

use crate::{
    config::{Problem, check::unique, parse::Located},
    health::target::{default_check, gate},
    plan::{Plan, PlannedService},
};

use super::{Check, ServiceHealth};

/// Notes everything that does not fit.
pub fn check(located: &Located, problems: &mut Vec<Problem>) {
    let services = Plan::of(&located.config).services;
    let health = &located.config.health;
    let names = health
        .services
        .iter()
        .zip(&located.health)
        .map(|(service, places)| (service.name.clone(), places.name.clone()));
    unique(names, problems, |name, first| {
        format!(
            "{name:?} is {} already; a service stands here once",
            first.key
        )
    });
    for (own, places) in health.services.iter().zip(&located.health) {
        let Some(service) = services.iter().find(|service| service.name == own.name) else {
            let names: Vec<&str> = services.iter().map(|service| &*service.name).collect();
            places.name.problem(
                problems,
                format!(
                    "there is no service {:?}; there are {}",
                    own.name,
                    names.join(", ")
                ),
            );
            continue;
        };
        if let Some(check) = &own.check
            && !check.fits(service.protocol)
        {
            places.check.problem(
                problems,
                format!(
                    "\"{}\" needs TCP, and {} is {}; \"ms-turn\", \"stun\" and \"none\" are possible",
                    check.name(),
                    service.name,
                    service.protocol.name()
                ),
            );
        }
        if let Some(wanted) = &own.gate
            && let Err(message) = gates(&services, &health.services, service, wanted)
        {
            places.gate.problem(problems, message);
        }
    }
}

/// Whether a gate has something to say.
fn gates(
    services: &[PlannedService],
    configured: &[ServiceHealth],
    service: &PlannedService,
    wanted: &str,
) -> Result<(), String> {
    let gate = &services[gate(services, service, wanted)?];
    let check = configured
        .iter()
        .find(|own| own.name == gate.name)
        .and_then(|own| own.check.clone())
        .unwrap_or_else(|| default_check(gate));
    if check == Check::None {
        return Err(format!(
            "{} is not checked itself; a gate is another service that is",
            gate.name
        ));
    }
    Ok(())
}
