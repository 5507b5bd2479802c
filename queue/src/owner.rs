//! Who has a directory open.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The process that has this directory's log open, if one has and this user may see that. Found out by looking alone:
/// whoever so much as tried the lock could turn away a manager that starts in that moment.
pub fn owner(dir: &Path) -> Option<u32> {
    let path = dir.join("lock");
    let noted = std::fs::read_to_string(&path).ok()?.trim().parse::<u32>().ok()?;
    let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
    let lock = std::fs::metadata(&path).map(identity).ok()?;
    // A process that has ended leaves its number in the file, and another may have that number by now.
    let mut open = std::fs::read_dir(format!("/proc/{noted}/fd")).ok()?.flatten();
    let is_lock = |metadata| identity(metadata) == lock;
    open.any(|descriptor| std::fs::metadata(descriptor.path()).is_ok_and(is_lock)).then_some(noted)
}
