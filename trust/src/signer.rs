//! What a certificate of Fulcio's says of the signer
//! ([extensions](https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md)).

use provenance_model::trust::Signer;
use sigstore_verify::crypto::CertificateInfo;

/// What a verified certificate says of the signer.
pub(crate) fn signer(certificate: &CertificateInfo) -> Signer {
    let claims = &certificate.ci_claims;
    let older = &claims.deprecated_github;
    let repository = claims.source_repository_uri.clone().or_else(|| {
        older.workflow_repository.as_ref().map(|repository| format!("https://github.com/{repository}"))
    });
    Signer {
        identity: certificate.identity.as_ref().map(ToString::to_string),
        issuer: certificate.issuer.clone(),
        source_repository: repository,
        source_commit: claims.source_repository_digest.clone().or_else(|| older.workflow_sha.clone()),
        source_ref: claims.source_repository_ref.clone().or_else(|| older.workflow_ref.clone()),
        run: claims.run_invocation_uri.clone(),
        ..Signer::default()
    }
}
