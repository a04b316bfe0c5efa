//! Image names and image ids: what parses prints back to itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use provenance_model::{Image, ImageReference, Running};

fuzz_target!(|text: &str| {
    if let Ok(reference) = Image::parse(text).reference {
        let again: ImageReference = reference.to_string().parse().expect("a reference prints as one");
        assert_eq!(again, reference);
    }
    let _ = Running::from_image_id(text);
});
