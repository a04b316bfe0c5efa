//! Objects of the Kubernetes API: one request, and what a refusal says.

use http::{Method, Request, StatusCode};
use serde_json::Value;

/// The name under which fields are owned
/// ([server-side apply](https://kubernetes.io/docs/reference/using-api/server-side-apply/)).
pub(crate) const MANAGER: &str = "provenance-collector";

/// Why a request brought nothing.
pub(crate) struct Refused {
    pub(crate) status: Option<StatusCode>,
    pub(crate) why: String,
}

impl Refused {
    pub(crate) fn is(&self, status: StatusCode) -> bool {
        self.status == Some(status)
    }

    /// Whether the object was too large for the API or for etcd.
    pub(crate) fn is_too_large(&self) -> bool {
        self.is(StatusCode::PAYLOAD_TOO_LARGE)
            || self.why.contains("Too long")
            || self.why.contains("too large")
    }

    /// Whether the next attempt may do better.
    pub(crate) fn may_pass(&self) -> bool {
        self.status.is_none_or(|status| status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS)
    }
}

/// One request. `accept` is asked for, where it is not plain JSON.
pub(crate) async fn ask(
    client: &kube::Client,
    method: Method,
    path: &str,
    kind: &str,
    body: &Value,
    accept: Option<&str>,
) -> Result<Value, Refused> {
    let shown = path.split('?').next().unwrap_or(path);
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let mut request = Request::builder().method(&method).uri(path).header("content-type", kind);
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    let request = request.body(bytes).map_err(|error| Refused { status: None, why: error.to_string() })?;
    client.request(request).await.map_err(|error| match error {
        kube::Error::Api(status) => Refused {
            status: StatusCode::from_u16(status.code).ok(),
            why: format!("{method} {shown} answered {}: {}", status.code, status.message),
        },
        other => Refused { status: None, why: format!("{method} {shown}: {other}") },
    })
}
