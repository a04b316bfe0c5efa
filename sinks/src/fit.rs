//! Makes a report fit into an object of the Kubernetes API, which holds about 1 MiB
//! ([ConfigMap](https://kubernetes.io/docs/concepts/configuration/configmap/)).

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use provenance_model::report::stages::forget_evidence;
use provenance_model::report::{Finding, Report, Truncated};

/// The form in which a report fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As JSON.
    Plain,
    /// As JSON, packed with gzip.
    Compressed,
    /// The summary and the worst rows, packed with gzip, marked as such.
    Worst,
}

/// A report that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    /// The form.
    pub form: Form,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Why it is not there as JSON, or not all of it.
    pub reason: Option<String>,
}

/// Makes a report fit into so many bytes, in the fullest of the forms that does. `from` is the first form to try.
///
/// # Errors
///
/// Where not even the summary fits, or the report is no JSON, which is a defect.
pub fn fit(report: &Report, cap: usize, from: Form) -> Result<Fitted, String> {
    let pretty = json(report, true)?;
    if from == Form::Plain {
        for bytes in [pretty.clone(), json(report, false)?] {
            if bytes.len() <= cap {
                return Ok(Fitted { form: Form::Plain, bytes, reason: None });
            }
        }
    }
    let size = pretty.len();
    if from != Form::Worst {
        let bytes = gzip(&json(report, false)?)?;
        if bytes.len() <= cap {
            let reason =
                format!("the report has {size} bytes, an object holds {cap}: it is packed with gzip");
            return Ok(Fitted { form: Form::Compressed, bytes, reason: Some(reason) });
        }
    }
    let mut order: Vec<usize> = (0..report.images.len()).collect();
    order.sort_by_key(|at| Finding::of(&report.images[*at]));
    let of = |rows: usize| worst(report, &order[..rows], size, cap);
    let (mut bytes, mut reason) = of(0)?;
    if bytes.len() > cap {
        return Err(format!("not even its summary fits into {cap} bytes"));
    }
    // How many rows fit, by halving: packed sizes cannot be reckoned.
    let (mut fits, mut too_many) = (0, order.len() + 1);
    while fits + 1 < too_many {
        let rows = usize::midpoint(fits, too_many);
        let more = of(rows)?;
        if more.0.len() <= cap {
            (fits, (bytes, reason)) = (rows, more);
        } else {
            too_many = rows;
        }
    }
    Ok(Fitted { form: Form::Worst, bytes, reason: Some(reason) })
}

/// The report with these rows only, without their evidence.
fn worst(report: &Report, rows: &[usize], size: usize, cap: usize) -> Result<(Vec<u8>, String), String> {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    let mut images: Vec<_> = rows.iter().map(|at| report.images[*at].clone()).collect();
    for row in &mut images {
        forget_evidence(row);
    }
    let mut helm_releases = report.helm_releases.clone();
    for release in &mut helm_releases {
        let stages = release.stages.iter_mut();
        stages
            .flat_map(|stages| [&mut stages.release, &mut stages.chart].into_iter().flatten())
            .for_each(|stage| stage.asked.clear());
    }
    // Releases are few beside images; where no image is kept they go as well.
    if rows.is_empty() {
        helm_releases.clear();
    }
    let left_out = report.images.len() - images.len();
    let reason = format!(
        "the report has {size} bytes, an object holds {cap}: here are the summary and the worst {} of {} rows",
        images.len(),
        report.images.len()
    );
    let truncated = Truncated {
        reason: reason.clone(),
        images_left_out: left_out,
        helm_releases_left_out: report.helm_releases.len() - helm_releases.len(),
        evidence_left_out: true,
    };
    let copy = Report {
        metadata: report.metadata.clone(),
        images,
        helm_releases,
        summary: report.summary.clone(),
        run: report.run.clone(),
        truncated: Some(truncated),
    };
    Ok((gzip(&json(&copy, false)?)?, reason))
}

fn json(report: &Report, pretty: bool) -> Result<Vec<u8>, String> {
    let written = if pretty { serde_json::to_vec_pretty(report) } else { serde_json::to_vec(report) };
    written.map_err(|error| format!("it is no JSON: {error}"))
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.map_err(|error| format!("it cannot be packed: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// So many rows, of which every hundredth failed; each with evidence that packs badly.
    fn report(rows: usize) -> Report {
        let mut report: Report = serde_json::from_str(
            r#"{"metadata": {"generatedAt": "2026-01-01T00:00:00Z", "collectorVersion": "t"}, "images": [],
                "summary": {"totalImages": 0, "uniqueImages": 0, "signedImages": 0, "verifiedImages": 0, "imagesWithSBOM": 0,
                "imagesWithProvenance": 0, "imagesWithUpdates": 0, "totalHelmReleases": 0, "helmReleasesWithUpdates": 0}}"#,
        )
        .unwrap();
        report.images = (0..rows)
            .map(|number| {
                let (outcome, digest) = match number % 100 {
                    0 => ("failed", String::new()),
                    _ => ("found", hex::encode(sha2_of(number))),
                };
                serde_json::from_value(serde_json::json!({
                    "image": format!("registry.example/app{number}:1"), "digest": digest, "namespace": "shop",
                    "workload": {"kind": "Deployment", "name": format!("app{number}")},
                    "stages": {"digest": {"outcome": outcome, "asked": [{"stage": "digest", "place": hex::encode(sha2_of(number + 1)), "answer": "200"}]}},
                }))
                .unwrap()
            })
            .collect();
        report
    }

    fn sha2_of(number: usize) -> Vec<u8> {
        use sha2::{Digest as _, Sha256};
        Sha256::digest(number.to_le_bytes()).to_vec()
    }

    fn unpacked(bytes: &[u8]) -> Report {
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_report_takes_the_fullest_form_that_fits() {
        let report = report(1000);
        let plain = fit(&report, 10 << 20, Form::Plain).unwrap();
        assert_eq!((plain.form, plain.reason), (Form::Plain, None));
        assert_eq!(serde_json::from_slice::<Report>(&plain.bytes).unwrap(), report);

        let packed = fit(&report, 150_000, Form::Plain).unwrap();
        assert_eq!(packed.form, Form::Compressed);
        assert_eq!(unpacked(&packed.bytes), report);

        let worst = fit(&report, 20_000, Form::Plain).unwrap();
        assert_eq!(worst.form, Form::Worst);
        assert!(worst.bytes.len() <= 20_000 && worst.bytes.len() > 18_000, "{}", worst.bytes.len());
        let read = unpacked(&worst.bytes);
        let truncated = read.truncated.unwrap();
        assert_eq!(truncated.images_left_out + read.images.len(), 1000);
        assert!(truncated.reason.contains("the worst") && truncated.evidence_left_out);
        let failed = read.images.iter().filter(|row| Finding::of(row) == Finding::Failed).count();
        assert_eq!(failed, 10, "the worst rows come first");
        assert_eq!(read.summary, report.summary);
    }

    #[test]
    fn a_form_that_was_refused_is_not_tried_again_and_nothing_fits_into_nothing() {
        let report = report(10);
        assert_eq!(fit(&report, 10 << 20, Form::Compressed).unwrap().form, Form::Compressed);
        assert_eq!(fit(&report, 10 << 20, Form::Worst).unwrap().form, Form::Worst);
        assert!(fit(&report, 10, Form::Plain).is_err());
    }
}
