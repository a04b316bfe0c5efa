//! How `serve` is set.

use std::path::PathBuf;

use provenance_web::{Brand, Picture, Place, SignIn, Theme};

use super::{Reader, Serving, values};
use crate::options;

impl Reader<'_> {
    pub(super) fn serving(&mut self) -> Serving {
        Serving {
            public: self.read(&options::DASHBOARD_ADDR, values::address),
            internal: self.read(&options::DASHBOARD_INTERNAL_ADDR, values::address),
            most: self.read(&options::UPLOAD_MAX_BYTES, values::bytes),
            token: self.path(&options::UPLOAD_TOKEN_FILE),
            accounts: self.read(&options::UPLOAD_ACCOUNTS, |value| {
                let names = values::list(value);
                match names.iter().find(|name| name.split('/').filter(|part| !part.is_empty()).count() != 2) {
                    Some(name) => Err(format!("{name:?} is no namespace/name")),
                    None => Ok(names),
                }
            }),
            audience: self.read(&options::UPLOAD_AUDIENCE, values::text),
            timeline_deltas: self.read(&options::TIMELINE_DELTAS, values::boolean),
            open_metrics: self.read(&options::OPEN_METRICS, values::boolean),
            cronjob: self.read(&options::CRONJOB_NAME, values::text),
            namespace: self.read(&options::CRONJOB_NAMESPACE, values::text),
            job_ttl: Some(self.read(&options::MANUAL_JOB_TTL, values::duration)).filter(|ttl| !ttl.is_zero()),
            place: Place {
                url: self.read(&options::EXTERNAL_URL, values::http_url),
                hosts: self.read(&options::ALLOWED_HOSTS, values::hosts),
            },
            sign_in: self.sign_in(),
            parts_wait: self.read(&options::PARTS_WAIT, values::duration),
            brand: self.brand(),
        }
    }

    fn path(&mut self, option: &options::Opt) -> Option<PathBuf> {
        self.read(option, values::text).map(PathBuf::from)
    }

    fn sign_in(&mut self) -> Option<SignIn> {
        let names = |value: &str| Ok(values::list(value));
        let issuer = self.read(&options::OIDC_ISSUER, values::http_url);
        let client = self.read(&options::OIDC_CLIENT_ID, values::text);
        if issuer.is_none() && client.is_some() {
            self.errors.push(format!(
                "{}: it needs {}",
                options::OIDC_CLIENT_ID.env,
                options::OIDC_ISSUER.env
            ));
        }
        Some(SignIn {
            issuer: issuer?,
            client,
            secret: self.path(&options::OIDC_CLIENT_SECRET_FILE),
            scopes: self.read(&options::OIDC_SCOPES, names),
            audiences: self.read(&options::OIDC_AUDIENCES, names),
            groups_claim: self.read(&options::OIDC_GROUPS_CLAIM, values::text).unwrap_or_default(),
            readers: self.read(&options::READER_GROUPS, names),
            admins: self.read(&options::ADMIN_GROUPS, names),
            key: self.path(&options::SESSION_KEY_FILE),
            lifetime: self.read(&options::SESSION_LIFETIME, values::limit),
            authorities: self.path(&options::OIDC_CA),
        })
    }

    fn brand(&mut self) -> Brand {
        let picture = |value: &str| {
            if value.is_empty() { Ok(None) } else { Picture::read(value).map(Some) }
        };
        let theme = |value: &str| {
            if value.is_empty() { Ok((Theme::default(), Vec::new())) } else { Theme::read(value) }
        };
        let (light, unknown) = self.read(&options::DASHBOARD_THEME_LIGHT, theme);
        let (dark, more) = self.read(&options::DASHBOARD_THEME_DARK, theme);
        Brand {
            title: self.read(&options::DASHBOARD_TITLE, values::text).unwrap_or_default(),
            logo: self.read(&options::DASHBOARD_LOGO, picture),
            logo_dark: self.read(&options::DASHBOARD_LOGO_DARK, picture),
            favicon: self.read(&options::DASHBOARD_FAVICON, picture),
            light,
            dark,
            left_out: unknown.into_iter().chain(more).collect(),
        }
    }
}
