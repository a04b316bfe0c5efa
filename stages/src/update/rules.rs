//! Which rule is for an image: the configuration file's first that matches, then the pod's annotations.

use provenance_currency::{Pattern, Pins, Rule, Scheme, Tag, TagOrder};
use provenance_engine::{Failure, FailureKind};
use provenance_model::{Image, ImageReference, Registry, Repository, UpdateLevel, UpdateWishes};
use provenance_trust::policy::Glob;

use crate::registry::Asking;

/// What counts as an update, for every image.
#[derive(Debug, Clone, Default)]
pub struct UpdateRules {
    /// The smallest change that counts.
    pub level: UpdateLevel,
    /// Leaves pre-releases out.
    pub skip_pre_releases: bool,
    /// Rules for some images; the first that matches counts.
    pub images: Vec<ImageRule>,
}

/// What counts as an update, for some images.
#[derive(Debug, Clone)]
pub struct ImageRule {
    /// The images, by globs as in trust policies.
    pub images: Vec<Glob>,
    /// Whether updates are looked for.
    pub check: bool,
    /// The smallest change that counts.
    pub level: Option<UpdateLevel>,
    /// Whether pre-releases count.
    pub pre_releases: Option<bool>,
    /// Only tags in which this occurs.
    pub allow: Option<Pattern>,
    /// No tags in which this occurs.
    pub ignore: Option<Pattern>,
    /// The order of tags.
    pub order: Option<TagOrder>,
}

impl ImageRule {
    fn is_for(&self, image: &ImageReference) -> bool {
        self.images.iter().any(|glob| glob.is_for(image))
    }

    fn told(&self) -> String {
        self.images.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// What counts for one subject.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Why nothing is to be looked for, if so.
    pub(super) off: Option<String>,
    pub(super) level: UpdateLevel,
    pub(super) rule: Rule,
    /// What applied beyond the rules for every image.
    pub(super) named: Option<String>,
    /// The repository whose tags count, where it is another.
    pub(super) elsewhere: Option<(Registry, Repository)>,
}

impl UpdateRules {
    pub(super) fn choose(
        &self,
        image: &ImageReference,
        wishes: Option<&UpdateWishes>,
    ) -> Result<Chosen, Failure> {
        let of_file = self.images.iter().find(|rule| rule.is_for(image));
        let skip =
            of_file.and_then(|rule| rule.pre_releases).map_or(self.skip_pre_releases, |wanted| !wanted);
        let mut chosen = Chosen {
            off: None,
            level: of_file.and_then(|rule| rule.level).unwrap_or(self.level),
            rule: Rule { skip_pre_releases: skip, ..Rule::default() },
            named: of_file.map(ImageRule::told),
            elsewhere: None,
        };
        if let Some(of_file) = of_file {
            chosen.rule.allow.clone_from(&of_file.allow);
            chosen.rule.ignore.clone_from(&of_file.ignore);
            chosen.rule.order = of_file.order;
            chosen.off = (!of_file.check).then(|| format!("the rule for {} says so", of_file.told()));
        }
        if let Some(wishes) = wishes {
            chosen.heed(wishes)?;
        }
        Ok(chosen)
    }
}

impl Chosen {
    /// Whether a tag is a name without a version, by itself or because a rule says so.
    pub(super) fn is_name(&self, tag: &str) -> bool {
        match self.rule.order {
            Some(order) => order == TagOrder::Floating,
            None => Tag::parse(tag).scheme() == Scheme::Floating,
        }
    }

    /// The repository whose tags count.
    pub(super) fn repository<'a>(&'a self, asking: &Asking<'a>) -> (&'a Registry, &'a Repository) {
        match &self.elsewhere {
            Some((registry, repository)) => (registry, repository),
            None => (asking.registry, asking.repository),
        }
    }

    fn heed(&mut self, wishes: &UpdateWishes) -> Result<(), Failure> {
        let refuse = |why: String| Failure::new(FailureKind::Malformed, why);
        if let Some(why) = wishes.refused.first() {
            return Err(refuse(why.clone()));
        }
        self.named = Some("annotations".to_owned());
        match wishes.enable {
            Some(false) => {
                self.off = Some("the pod's annotation enable.version-checker.io says so".to_owned());
            }
            Some(true) => self.off = None,
            None => {}
        }
        if let Some(url) = &wishes.override_url {
            let elsewhere = Image::parse(url).reference.map_err(|invalid| {
                refuse(format!("annotation override-url.version-checker.io: {invalid}"))
            })?;
            self.elsewhere = Some((elsewhere.registry, elsewhere.repository));
        }
        if let Some(expression) = &wishes.match_regex {
            let pattern = Pattern::new(expression)
                .map_err(|why| refuse(format!("annotation match-regex.version-checker.io: {why}")))?;
            // Whoever names the tags means them, pre-releases too.
            self.rule = Rule { allow: Some(pattern), order: self.rule.order, ..Rule::default() };
            return Ok(());
        }
        if wishes.use_sha {
            self.rule.order = Some(TagOrder::Floating);
        }
        if wishes.use_metadata {
            self.rule.skip_pre_releases = false;
        }
        self.rule.pins = Pins { major: wishes.pin_major, minor: wishes.pin_minor, patch: wishes.pin_patch };
        Ok(())
    }
}
