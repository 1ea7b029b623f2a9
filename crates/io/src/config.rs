//! How a node starts: the Rust twin of `NodeConfig` in `src/fairlead/protocol/node.py`.

use mesh::MAX_PAIRS;
use serde::Deserialize;

/// The most packet threads of one node.
const MAX_WORKERS: u16 = 64;

/// Read from msgpack; unknown fields (its `type` among them) are passed over.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct NodeConfig {
    /// 1 to 65535.
    pub node: u16,
    pub workers: u16,
    pub bind: String,
    /// Client media; 0 lets the system choose, here and below.
    pub udp_port: u16,
    pub tcp_port: u16,
    /// The first of `mesh_ports` in a row, or 0.
    pub mesh_port: u16,
    /// 1 to `mesh::MAX_PAIRS`.
    pub mesh_ports: u8,
    /// Addresses offered to clients as ICE candidates; on a loopback `bind`, `bind` alone is.
    pub addresses: Vec<String>,
    /// X25519, 32 bytes; empty makes a new one.
    #[serde(with = "serde_bytes")]
    pub private_key: Vec<u8>,
    /// Seed of the emulated links' weather.
    pub seed: u64,
    pub turn: Option<TurnConfig>,
    pub front: Option<FrontConfig>,
}

/// The TURN server, which relays to this node alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TurnConfig {
    /// UDP and TCP.
    pub port: u16,
    pub realm: String,
    /// Of the credentials; shared with who makes them.
    #[serde(with = "serde_bytes")]
    pub secret: Vec<u8>,
    pub max_allocations: u32,
    /// Of one user name.
    pub max_per_user: u32,
}

/// The one TCP port for everything: HTTP and websockets, ICE-TCP, TURN, each with or without TLS.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FrontConfig {
    pub port: u16,
    /// Where HTTP is served, on loopback.
    pub web_port: u16,
    /// Files in PEM; both or neither. Without them there is no TLS.
    pub certificate: String,
    pub key: String,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration can't be used; the text names the field and the remedy.
    #[error("{0}")]
    Config(String),
    /// The system refused a socket or a thread.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl Default for NodeConfig {
    fn default() -> Self {
        NodeConfig {
            node: 0,
            workers: 1,
            bind: "127.0.0.1".to_owned(),
            udp_port: 0,
            tcp_port: 0,
            mesh_port: 0,
            mesh_ports: MAX_PAIRS as u8,
            addresses: vec!["127.0.0.1".to_owned()],
            private_key: Vec::new(),
            seed: 0,
            turn: None,
            front: None,
        }
    }
}

impl NodeConfig {
    /// From msgpack, a map with field names.
    pub fn decode(bytes: &[u8]) -> Result<NodeConfig, StartError> {
        let config: NodeConfig = rmp_serde::from_slice(bytes).map_err(|error| {
            StartError::Config(format!("the node's config can't be read: {error}"))
        })?;
        config.check()?;
        Ok(config)
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        let problem = if self.node == 0 {
            "node is 0: node numbers go from 1 to 65535".to_owned()
        } else if self.workers == 0 || self.workers > MAX_WORKERS {
            format!(
                "workers is {}: choose from 1 to {MAX_WORKERS}",
                self.workers
            )
        } else if !(1..=MAX_PAIRS).contains(&self.mesh_ports.into()) {
            let ports = self.mesh_ports;
            format!("mesh_ports is {ports}: choose from 1 to {MAX_PAIRS}")
        } else if self.mesh_port > 0 && self.mesh_port.checked_add(self.mesh_ports.into()).is_none()
        {
            let (port, count) = (self.mesh_port, self.mesh_ports);
            format!("mesh_port is {port}: {count} in a row must end by 65534, choose a lower one")
        } else if !matches!(self.private_key.len(), 0 | 32) {
            let length = self.private_key.len();
            format!("private_key has {length} bytes: give 32, or none to make a new key")
        } else if self
            .turn
            .as_ref()
            .is_some_and(|turn| turn.secret.is_empty())
        {
            "turn.secret is empty: anyone could make credentials, give some random bytes".to_owned()
        } else if self
            .front
            .as_ref()
            .is_some_and(|front| front.certificate.is_empty() != front.key.is_empty())
        {
            "front has only one of certificate and key: give both files or neither".to_owned()
        } else {
            return Ok(());
        };
        Err(StartError::Config(problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_leaves_out_has_its_default() {
        // {"type": "NodeConfig", "node": 7, "private_key": b""}
        let bytes = b"\x83\xa4type\xaaNodeConfig\xa4node\x07\xabprivate_key\xc4\x00";
        let config = NodeConfig::decode(bytes).expect("it is well formed");
        assert_eq!(
            (config.node, config.workers, config.bind.as_str()),
            (7, 1, "127.0.0.1")
        );
    }

    #[test]
    fn unusable_values_are_named() {
        let refused = |config: NodeConfig| config.check().expect_err("unusable").to_string();
        assert!(refused(NodeConfig::default()).contains("node is 0"));
        let node = NodeConfig {
            node: 1,
            ..NodeConfig::default()
        };
        assert!(
            refused(NodeConfig {
                workers: 65,
                ..node.clone()
            })
            .contains("workers is 65")
        );
        let ports = |mesh_port, mesh_ports| NodeConfig {
            mesh_port,
            mesh_ports,
            ..node.clone()
        };
        assert!(refused(ports(0, 0)).contains("mesh_ports is 0"));
        assert!(refused(ports(0, 5)).contains("mesh_ports is 5"));
        assert!(refused(ports(65_533, 4)).contains("mesh_port is 65533"));
        assert!(ports(65_531, 4).check().is_ok());
        let short = NodeConfig {
            private_key: vec![1; 31],
            ..node
        };
        assert!(refused(short).contains("31 bytes"));
        assert!(NodeConfig::decode(b"\x01").is_err());
    }
}
