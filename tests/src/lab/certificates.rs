//! The certificates of the nodes, and the authority that clients trust.

use std::{fs, net::Ipv4Addr, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, crypto::ring::default_provider, pki_types::CertificateDer,
};

/// A certificate authority of the lab's own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one.
    pub fn new() -> Result<Self> {
        let mut parameters = named("edgelb lab")?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
        Ok(Self { issuer })
    }

    /// Writes the authority's certificate to a file, for clients that are not ours.
    pub fn write(&self, file: &Path) -> Result<()> {
        fs::write(file, self.issuer.pem()).with_context(|| file.display().to_string())
    }

    /// Writes a certificate for a server, and its key, to files. Every server has one of its own, so that
    /// a client knows for certain which of them it talks to. It is good for these addresses, and for a
    /// domain among servers.
    pub fn certify(
        &self,
        name: &str,
        domain: &str,
        addresses: &[Ipv4Addr],
        certificate: &Path,
        key: &Path,
    ) -> Result<CertificateDer<'static>> {
        let mut parameters = named(name)?;
        parameters.subject_alt_names = addresses
            .iter()
            .map(|address| rcgen::SanType::IpAddress((*address).into()))
            .collect();
        parameters
            .subject_alt_names
            .push(rcgen::SanType::DnsName(domain.try_into()?));
        let key_pair = KeyPair::generate()?;
        let certified = parameters.signed_by(&key_pair, &self.issuer)?;
        fs::write(certificate, certified.pem())
            .with_context(|| certificate.display().to_string())?;
        fs::write(key, key_pair.serialize_pem()).with_context(|| key.display().to_string())?;
        Ok(certified.der().clone())
    }

    /// What a client needs that trusts this authority alone.
    pub fn client(&self) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone())?;
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

fn named(name: &str) -> Result<CertificateParams> {
    let mut parameters = CertificateParams::new([])?;
    parameters.distinguished_name.push(DnType::CommonName, name);
    Ok(parameters)
}
