//! Reads the options of trust. Files are read at once, so that every error is told before anything is asked.

use std::path::{Path, PathBuf};

use provenance_stages::keys::KeySource;
use provenance_trust::Root;
use provenance_trust::notation::TrustStore;
use provenance_trust::policy::documents;

use super::{Reader, values};
use crate::options::{self, Opt};
use crate::trust::{RootSource, TrustSettings, files_below};

impl Reader<'_> {
    pub(super) fn trust(&mut self) -> TrustSettings {
        TrustSettings {
            keys: self.read(&options::COSIGN_PUBLIC_KEY, keys),
            documents: self.read_files(&options::TRUST_POLICIES, |file, text| {
                let text = std::str::from_utf8(text).map_err(|error| format!("it is no text: {error}"))?;
                let found = documents(text)?;
                Ok(found.into_iter().map(|document| (file.display().to_string(), document)).collect())
            }),
            cluster_policies: self.read(&options::CLUSTER_POLICIES, values::boolean),
            roots: self.read(&options::TRUSTED_ROOT, roots),
            tuf: self.tuf(),
            notation: self.notation(),
        }
    }

    /// What is in the files that an option names, read one by one; every error is told.
    fn read_files<T>(
        &mut self,
        option: &Opt,
        read: impl Fn(&Path, &[u8]) -> Result<Vec<T>, String>,
    ) -> Vec<T> {
        let files = self.read(option, |value| {
            let paths: Vec<_> = values::list(value).into_iter().map(PathBuf::from).collect();
            paths.iter().map(|path| files_below(path)).collect::<Result<Vec<_>, _>>().map(|all| all.concat())
        });
        let mut found = Vec::new();
        for file in files {
            let bytes = std::fs::read(&file).map_err(|error| error.to_string());
            match bytes.and_then(|bytes| read(&file, &bytes)) {
                Ok(more) => found.extend(more),
                Err(why) => self.errors.push(format!("--{}: {}: {why}", option.flag, file.display())),
            }
        }
        found
    }

    fn tuf(&mut self) -> Option<(String, PathBuf)> {
        let mirror = self.read(&options::TUF_MIRROR, values::text);
        let root = self.read(&options::TUF_ROOT, values::text);
        match (mirror, root) {
            (Some(mirror), Some(root)) => Some((mirror, root.into())),
            (None, None) => None,
            _ => {
                self.errors.push(format!(
                    "--{} and --{} go together: a repository is believed only by a root that was given",
                    options::TUF_MIRROR.flag,
                    options::TUF_ROOT.flag
                ));
                None
            }
        }
    }

    fn notation(&mut self) -> Option<TrustStore> {
        let mut store = TrustStore::new("notation-trust-store");
        let added = self.read_files(&options::NOTATION_TRUST_STORE, |_, bytes| {
            TrustStore::default().add(bytes).map(|()| vec![bytes.to_vec()])
        });
        for file in added {
            store.add(&file).expect("it was checked when it was read");
        }
        Some(store).filter(|store| !store.is_empty())
    }
}

/// Keys, separated by commas. PEM text holds none.
fn keys(value: &str) -> Result<Vec<KeySource>, String> {
    values::list(value).iter().map(|key| KeySource::parse(key)).collect()
}

fn roots(value: &str) -> Result<Vec<RootSource>, String> {
    let root = |name: &String| match name.as_str() {
        "embedded" => Ok(RootSource::Embedded),
        "tuf" => Ok(RootSource::Tuf),
        file => {
            let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
            Root::from_json(file, &text)
                .map(Box::new)
                .map(RootSource::File)
                .map_err(|why| format!("{file}: {why}"))
        }
    };
    values::list(value).iter().map(root).collect()
}
