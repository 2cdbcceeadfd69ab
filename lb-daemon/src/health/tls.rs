//! TLS clients for the checks that need a whole handshake.

use std::{net::IpAddr, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring::default_provider},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio_rustls::TlsConnector;

use crate::config::{Check, Tls};

/// A TLS client for one target.
#[derive(Clone)]
pub struct Client {
    /// What connects.
    pub connector: TlsConnector,
    /// Whom it asks for.
    pub name: ServerName<'static>,
}

/// The client for a check, where it needs one.
///
/// # Errors
///
/// That the file with the certificates cannot be used.
pub fn client(check: &Check, node: IpAddr) -> Result<Option<Client>> {
    let tls = match check {
        // Without judging the certificate, the beginning of a handshake is all that is needed.
        Check::Tls(tls) if tls.ca.is_some() => tls,
        Check::Sip { tls: Some(tls), .. } | Check::Http { tls: Some(tls), .. } => tls,
        _ => return Ok(None),
    };
    let name = match &tls.server_name {
        Some(name) => ServerName::try_from(name.clone()).context(name.clone())?,
        None => ServerName::from(node),
    };
    let connector = TlsConnector::from(Arc::new(config(tls)?));
    Ok(Some(Client { connector, name }))
}

fn config(tls: &Tls) -> Result<ClientConfig> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let mut config = match &tls.ca {
        Some(file) => {
            let place = || file.display().to_string();
            let mut roots = RootCertStore::empty();
            let certificates = CertificateDer::pem_file_iter(file).with_context(place)?;
            for certificate in certificates {
                // A store of a system has old ones that are in no form of today; they are no reason to
                // do without the others.
                let _ = roots.add(certificate.with_context(place)?);
            }
            ensure!(
                !roots.is_empty(),
                "{}: there is no certificate in it",
                place()
            );
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unjudged(provider)))
            .with_no_client_auth(),
    };
    // A check begins anew each time.
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_sni = tls.server_name.is_some();
    Ok(config)
}

/// Takes every certificate for good: whether a node is alive is another question than who it is.
#[derive(Debug)]
struct Unjudged(Arc<CryptoProvider>);

impl ServerCertVerifier for Unjudged {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
