//! The blocks of PEM texts ([RFC 7468](https://www.rfc-editor.org/rfc/rfc7468)).

const PEM_END: &str = "-----END ";

/// The blocks of a PEM text.
pub(crate) fn pem_blocks(pem: &str) -> impl Iterator<Item = &str> {
    let mut rest = pem;
    std::iter::from_fn(move || {
        let start = rest.find("-----BEGIN ")?;
        let end = start + rest[start..].find(PEM_END)?;
        let close = end + PEM_END.len() + rest[end + PEM_END.len()..].find("-----")? + 5;
        let block = &rest[start..close];
        rest = &rest[close..];
        Some(block)
    })
}
