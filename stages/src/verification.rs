//! Verification for the stages: off the async workers, a few at a time, and once for every signature, digest and
//! set of policies. The trusted roots are the same for a whole run.

use std::sync::Arc;

use moka::future::Cache;
use provenance_model::trust::Checked;
use provenance_model::{Digest, ImageReference};
use provenance_trust::notation::{Envelope, TrustStore};
use provenance_trust::{Judgement, Policy, Root, Signed, judge};
use tokio::sync::Semaphore;

/// All that is trusted in a run.
#[derive(Debug, Default)]
pub struct Trust {
    /// Whom certificates, logs and timestamps are believed of.
    pub roots: Vec<Root>,
    /// What is wanted of which images.
    pub policies: Vec<Policy>,
    /// What verifies images that no policy names.
    pub otherwise: Option<Policy>,
    /// Whose Notation signatures are believed.
    pub notation: Option<TrustStore>,
}

impl Trust {
    /// The policies for an image.
    pub fn policies_for(&self, image: &ImageReference) -> Vec<&Policy> {
        let matching: Vec<_> = self.policies.iter().filter(|policy| policy.matches(image)).collect();
        if matching.is_empty() { self.otherwise.iter().collect() } else { matching }
    }

    fn named(&self, names: &[String]) -> Vec<&Policy> {
        let all = self.policies.iter().chain(&self.otherwise);
        all.filter(|policy| names.contains(&policy.name)).collect()
    }
}

/// What makes a judgement the same: the signature, the digest it is to be about, the policies by name.
type Key = ([u8; 32], Digest, Vec<String>);

/// Judgements that are kept: for other stages and tags of the same digest, which come soon.
const JUDGEMENTS: u64 = 2_000;

/// Verifies, once.
#[derive(Debug)]
pub struct Verification {
    trust: Arc<Trust>,
    memo: Cache<Key, Arc<Judgement>>,
    at_once: Arc<Semaphore>,
}

impl Verification {
    /// Verification by what is trusted.
    pub fn new(trust: Trust) -> Self {
        let at_once = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            trust: Arc::new(trust),
            memo: Cache::new(JUDGEMENTS),
            at_once: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// What is trusted.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Judges one signature or attestation by the policies of these names.
    pub async fn judge(&self, signed: Signed, target: &Digest, policies: &[String]) -> Arc<Judgement> {
        let key = (signed.fingerprint, target.clone(), policies.to_vec());
        let work = async {
            let (trust, target, names) = (Arc::clone(&self.trust), target.clone(), policies.to_vec());
            let judged = self.aside(move || {
                let roots: Vec<_> = trust.roots.iter().collect();
                judge(&signed, &target, &trust.named(&names), &roots)
            });
            Arc::new(judged.await)
        };
        self.memo.get_with(key, work).await
    }

    /// Checks a Notation signature.
    pub async fn check_notation(&self, envelope: Envelope, target: &Digest) -> Checked {
        let (trust, target) = (Arc::clone(&self.trust), target.clone());
        self.aside(move || envelope.check(&target, trust.notation.as_ref())).await
    }

    /// Does costly work where blocking is allowed. A panic goes on in the caller, who knows the image.
    pub(crate) async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let turn = Arc::clone(&self.at_once).acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn.expect("the semaphore is never closed");
            work()
        });
        match done.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going down, and this task with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[tokio::test]
    async fn a_signature_is_judged_once_for_a_digest_and_a_set_of_policies() {
        let verification = Verification::new(Trust::default());
        let annotations =
            BTreeMap::from([("dev.cosignproject.cosign/signature".to_owned(), "MEQ=".to_owned())]);
        let signed = || Signed::simple_signing(&"{}".into(), &annotations).unwrap();
        let digest = |c: &str| -> Digest { format!("sha256:{}", c.repeat(64)).parse().unwrap() };
        let first = verification.judge(signed(), &digest("a"), &[]).await;
        let again = verification.judge(signed(), &digest("a"), &[]).await;
        assert!(Arc::ptr_eq(&first, &again));
        for other in [
            verification.judge(signed(), &digest("b"), &[]).await,
            verification.judge(signed(), &digest("a"), &["policy".to_owned()]).await,
        ] {
            assert!(!Arc::ptr_eq(&first, &other));
        }
    }
}
