//! The list of packages as a document, see the SPDX specification, version 2.3.

use image::ImageConfig;
use serde_json::{Value, json};

use super::package::Package;
use super::purl::purl;
use super::walk::Contents;

const NO_ASSERTION: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
/// When an image says nothing of when it was made.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

/// The document of an image with this id. The same image gives the same document: its time is that of the image.
pub(crate) fn document(id: &str, config: &ImageConfig, contents: &Contents) -> Value {
    let created = config.created.as_deref().unwrap_or(NO_TIME);
    // The specification knows no fractions of a second.
    let created =
        created.split('.').next().map_or_else(String::new, |time| format!("{}Z", time.trim_end_matches('Z')));
    let mut packages = vec![image_package(id)];
    let mut relationships = vec![relation(DOCUMENT, "DESCRIBES", IMAGE)];
    for (index, package) in contents.packages.iter().enumerate() {
        let reference = format!("SPDXRef-Package-{index}");
        relationships.push(relation(IMAGE, "CONTAINS", &reference));
        packages.push(package_entry(&reference, package, contents));
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": id,
        "documentNamespace": format!("urn:slipway:sbom:{id}"),
        "creationInfo": {
            "created": created,
            "creators": [format!("Tool: slipway-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    })
}

fn image_package(id: &str) -> Value {
    json!({
        "SPDXID": IMAGE,
        "name": id,
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": false,
        "primaryPackagePurpose": "CONTAINER",
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": NO_ASSERTION,
        "copyrightText": NO_ASSERTION,
    })
}

fn package_entry(reference: &str, package: &Package, contents: &Contents) -> Value {
    let mut entry = json!({
        "SPDXID": reference,
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": false,
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": NO_ASSERTION,
        "copyrightText": NO_ASSERTION,
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl(package, &contents.distribution),
        }],
    });
    // What packages write is rarely an expression of the specification.
    if let Some(license) = &package.license {
        entry["licenseComments"] = format!("The package says: {license}").into();
    }
    entry
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}
