//! Where things are, unless an option says otherwise.

/// The configuration file.
pub const CONFIG: &str = "/etc/edgelb/edgelb.toml";
/// The control socket.
pub const CONTROL_SOCKET: &str = "/run/edgelb/edgelb.sock";
/// The state that outlives the machine's runs.
pub const STATE_FILE: &str = "/var/lib/edgelb/state.json";
/// The folder of the maps, in a bpffs.
pub const PIN_DIR: &str = "/sys/fs/bpf/edgelb";
