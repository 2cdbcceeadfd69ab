//! How to get into a lab that stays up.

use lb_tests::lab::{
    Lab,
    plan::{Host, Side, vip},
};

/// Tells what there is to enter and to try.
pub fn print(lab: &Lab) {
    println!("\nThe {} lab stays up. Enter its hosts:", lab.arrangement);
    for host in Host::ALL {
        println!(
            "  ip netns exec {:<20} bash    # {}",
            lab.host(host).name(),
            host.role()
        );
    }
    println!("Ask edgelb:");
    for query in lab.edgelb.instance.queries() {
        println!("  {query}");
    }
    println!("Be a client, and see who answers whom:");
    for (side, vip) in [
        (Side::External, vip::ACCESS),
        (Side::External, vip::WEBCONF),
        (Side::Internal, vip::INTERNAL),
    ] {
        let port = if side == Side::Internal { ":5062" } else { "" };
        println!(
            "  ip netns exec {} curl --cacert {} --interface {} https://{vip}{port}/who",
            lab.asker(side).name(),
            lab.folder.file("authority.pem").display(),
            side.asker_address(7),
        );
    }
    println!("Look at what a node gets:");
    println!(
        "  ip netns exec {} tcpdump -n -i {}",
        lab.host(Host::Edge(0)).name(),
        Side::External.interface()
    );
    println!("edgelb logs to {}", lab.edgelb.instance.log().display());
    println!("Remove it again: cargo xtask lab down");
}
