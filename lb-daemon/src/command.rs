//! One module per subcommand.

pub mod check;
pub mod flows;
pub mod run;
pub mod status;
