//! A memory limit that the kernel enforces, as a kubelet sets it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A control group with a memory limit. Removed when dropped.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// A group whose processes get so many bytes of memory together, and no swap.
    ///
    /// # Panics
    ///
    /// Where no group can be made, with what it needs.
    pub fn with_memory(bytes: u64) -> Self {
        let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let name = format!("provenance-e2e-{}-{bytes}", std::process::id());
        let (root, limit) = if unified {
            fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory").ok();
            ("/sys/fs/cgroup", "memory.max")
        } else {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        };
        let group = Self(Path::new(root).join(name));
        let made = fs::create_dir(&group.0).and_then(|()| fs::write(group.0.join(limit), bytes.to_string()));
        made.unwrap_or_else(|error| {
            panic!(
                "{}: {error}; run the tests as root, where /sys/fs/cgroup is writable: docker run --privileged",
                group.0.display()
            )
        });
        // Where swap is not counted there is no such file.
        for (file, value) in [("memory.swap.max", "0"), ("memory.memsw.limit_in_bytes", &bytes.to_string())] {
            if group.0.join(file).exists() {
                fs::write(group.0.join(file), value).ok();
            }
        }
        group
    }

    /// The command, run inside.
    pub fn run(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        let enter = format!("echo $$ > '{}/cgroup.procs' && exec \"$0\" \"$@\"", self.0.display());
        inside.args(["-c", &enter]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its processes have ended; the kernel can take a moment to notice.
        for _ in 0..50 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
