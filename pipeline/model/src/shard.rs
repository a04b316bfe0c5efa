//! Shards: several processes share a run, each examines the images of its share of repositories.
//!
//! A repository falls to one shard as a whole, so that what is asked once for it (its token, its list of tags) is still asked
//! once. Which one depends on its name alone: every process comes to the same answer, on every machine.

use crate::name::Image;

/// One share of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which share, from 0.
    pub index: u32,
    /// How many there are, at least 1.
    pub count: u32,
}

impl Default for Shard {
    /// All of it.
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl Shard {
    /// Whether there is only one.
    pub fn is_whole(self) -> bool {
        self.count <= 1
    }

    /// Whether this image falls to this shard: by registry and repository, or where it is no valid image name, as written.
    pub fn has_image(self, image: &Image) -> bool {
        self.is_whole()
            || match &image.reference {
                Ok(reference) => self.has(reference.registry.as_str(), reference.repository.as_str()),
                Err(_) => self.has("", &image.written),
            }
    }

    /// Whether what has this name falls to this shard. `within` is what names are unique in: a registry, a namespace.
    pub fn has(self, within: &str, name: &str) -> bool {
        self.is_whole() || Self::of(self.count, within, name) == self.index
    }

    /// The shard that a name falls to.
    pub fn of(count: u32, within: &str, name: &str) -> u32 {
        // FNV-1a (https://datatracker.ietf.org/doc/html/draft-eastlake-fnv), mixed once more since its high bits are weak.
        let bytes = within.bytes().chain(*b"/").chain(name.bytes());
        let sum = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mixed = (sum ^ (sum >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        u32::try_from((mixed >> 32) % u64::from(count.max(1))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_name_falls_to_exactly_one_shard(count in 1_u32..64, within in "[a-z.]{0,12}", name in "\\PC{0,24}") {
            let owners = (0..count).filter(|index| Shard { index: *index, count }.has(&within, &name)).count();
            prop_assert_eq!(owners, 1);
        }
    }

    #[test]
    fn shards_are_of_about_the_same_size() {
        let mut sizes = [0_u32; 4];
        for at in 0..4000 {
            sizes[Shard::of(4, "registry.example", &format!("team-{}/app-{at}", at % 20)) as usize] += 1;
        }
        assert!(sizes.iter().all(|size| (850..1150).contains(size)), "{sizes:?}");
    }

    #[test]
    fn all_tags_of_a_repository_fall_to_one_shard_however_the_registry_is_written() {
        for index in 0..4 {
            let shard = Shard { index, count: 4 };
            let has = |written: &str| shard.has_image(&Image::parse(written));
            assert_eq!(
                has("nginx:1.27"),
                has(
                    "docker.io/library/nginx@sha256:489075c9ca37b7e08a7a71d30b69010cdf1b151396a5feeef7ca5b63134c887e"
                )
            );
            assert_eq!(has("nginx:1.27"), has("index.docker.io/library/nginx:1.28"));
        }
    }
}
