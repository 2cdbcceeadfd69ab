//! The rules, each shown for itself.

mod answered;
mod configured;
mod crossing;
mod gateway;
mod kept;
mod own_media;
mod replied;
mod unbalanced;
mod unmerged;

use lb_daemon::snapshot::FlowStatus;

use super::Check;
use crate::lab::turn::Client;

/// The checks of the rules.
pub fn checks() -> Vec<Check> {
    vec![
        Check::new("H1", "h1_access_and_webconf_use_source_nat", |lab, _| {
            kept::source_nat(lab)
        }),
        Check::new("H2", "h2_external_media_is_never_source_nat", |lab, _| {
            kept::external(lab)
        }),
        Check::new("H3", "h3_media_vips_answer_for_themselves", |lab, _| {
            answered::by_vips(lab)
        }),
        Check::new("H4", "h4_nodes_answer_for_themselves", |lab, _| {
            answered::by_nodes(lab)
        }),
        Check::new(
            "H5",
            "h5_every_address_is_needed_and_used_once",
            |lab, _| configured::addresses(lab),
        ),
        Check::new("H7", "h7_source_and_port_of_media_are_kept", |lab, _| {
            kept::both_sides(lab)
        }),
        Check::new("H8", "h8_media_of_nodes_has_their_own_address", |lab, _| {
            own_media::check(lab)
        }),
        Check::new(
            "H9",
            "h9_established_media_does_not_use_the_vip",
            |lab, _| own_media::past_the_vip(lab),
        ),
        Check::new("H10", "h10_static_routes_to_internal_networks", |lab, _| {
            gateway::internal(lab)
        }),
        Check::new("H11", "h11_access_vip_is_the_default_gateway", |lab, _| {
            gateway::external(lab)
        }),
        Check::new("H12", "h12_small_packets_are_not_merged", |lab, _| {
            unmerged::check(lab)
        }),
        Check::new("H13", "h13_nothing_passes_between_the_sides", |lab, _| {
            crossing::check(lab)
        }),
        Check::new("H14", "h14_replies_pass_the_load_balancer", |lab, _| {
            replied::check(lab)
        }),
        Check::new("H15", "h15_one_side_alone_is_refused", |lab, _| {
            configured::one_side(lab)
        }),
        Check::new("H16", "h16_internal_vip_balances_nothing_else", |lab, _| {
            unbalanced::check(lab)
        }),
    ]
}

/// edgelb's flow of a client.
fn flow_of<'a>(flows: &'a [FlowStatus], client: &Client) -> Option<&'a FlowStatus> {
    flows.iter().find(|flow| {
        flow.protocol == client.protocol().name()
            && flow.client == client.local
            && flow.vip == client.asked
    })
}
