//! Settings out of files, and what is said of files that cannot be used.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gannet_testing::Log;
use gannet_tls::{ClientAuthMode, TlsClientConfig, TlsFiles, TlsServer, TlsVersion};
use rcgen::{KeyPair, date_time_ymd};

use crate::rig::{Ca, Identified as _, Pair, Trusted as _};

/// A directory for one test, empty.
fn directory(test: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory");
    directory
}

fn write(directory: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let file = directory.join(name);
    fs::write(&file, text).expect("it can be written");
    file
}

/// What is logged meanwhile.
fn logged(what: impl FnOnce()) -> String {
    // With one subscriber alone, tracing asks the first thread that comes to a line whether it is wanted, and remembers
    // that for all: these are there beside it.
    static OTHERS: OnceLock<[tracing::Dispatch; 2]> = OnceLock::new();
    OTHERS.get_or_init(|| {
        [(); 2].map(|()| tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(std::io::sink).finish()))
    });
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, what);
    log.text()
}

#[test]
fn a_server_is_made_of_files_and_takes_what_they_hold_later() {
    let dir = directory("a_server_is_made_of_files");
    let ca = Ca::new("the CA");
    let (first, second) = (ca.server(&["localhost"]), ca.server(&["localhost"]));
    let mut files = TlsFiles::new(write(&dir, "cert.pem", &first.certificate), write(&dir, "key.pem", &first.key));
    // Both in one file.
    let wild = ca.server(&["*.example.org"]);
    let both = write(&dir, "wild.pem", wild.key.clone() + &wild.certificate);
    files.identities.push((both.clone(), both));
    files.alpn = vec!["resp".into()];
    files.min_version = TlsVersion::V1_3;
    files.client_ca = Some(write(&dir, "ca.pem", ca.pem()));
    files.crls = vec![write(&dir, "crl.pem", ca.crl(&[7], 2998))];
    let server = TlsServer::from_files(&files).expect("good files");

    let client = |serial| {
        let issued = ca.client(serial);
        let (certificate, key) = (write(&dir, "c.pem", issued.certificate), write(&dir, "c.key", issued.key));
        let client = TlsClientConfig::new().ca_file(dir.join("ca.pem")).expect("a CA");
        client.identity_files(certificate, key).expect("good files").alpn(["resp"])
    };
    let pair = Pair::connected(&server, &client(8).build("localhost").expect("settings"));
    pair.assert_ready();
    assert_eq!(pair.server.info().alpn(), Some(&b"resp"[..]));
    assert_eq!(pair.client.info().peer_certificates().next(), first.identity().chain().next());
    let pair = Pair::connected(&server, &client(8).build("a.example.org").expect("settings"));
    assert_eq!(pair.client.info().peer_certificates().next(), wild.identity().chain().next());
    let pair = Pair::connected(&server, &client(7).build("localhost").expect("settings"));
    assert_eq!(pair.server.why(), "the client's certificate was revoked");
    let old = client(8).max_version(TlsVersion::V1_2).build("localhost").expect("settings");
    assert!(Pair::connected(&server, &old).server.error.is_some());

    write(&dir, "cert.pem", &second.certificate);
    write(&dir, "key.pem", &second.key);
    files.client_auth = ClientAuthMode::Optional;
    server.reload_files(&files).expect("good files");
    let pair = Pair::connected(&server, &ca.trusted().build("localhost").expect("settings"));
    pair.assert_ready();
    assert_eq!(pair.client.info().peer_certificates().next(), second.identity().chain().next());
}

#[test]
fn a_broken_file_is_named_with_what_to_do_and_the_old_settings_stay() {
    let dir = directory("a_broken_file_is_named");
    let ca = Ca::new("the CA");
    let (one, other) = (ca.server(&["localhost"]), ca.server(&["localhost"]));
    let certificate = write(&dir, "cert.pem", &one.certificate);
    let key = write(&dir, "key.pem", &one.key);
    let client_ca = write(&dir, "ca.pem", ca.pem());
    let crl = write(&dir, "crl.pem", ca.crl(&[], 2998));
    let mut good = TlsFiles::new(&certificate, &key);
    (good.client_ca, good.crls) = (Some(client_ca.clone()), vec![crl.clone()]);
    let server = TlsServer::from_files(&good).expect("good files");
    let client = ca.trusted().identity(ca.client(8).identity()).build("localhost").expect("settings");
    Pair::connected(&server, &client).assert_ready();

    let half = &one.certificate[..one.certificate.len() / 2];
    // Right base64 of a certificate that ends too early.
    let cut = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmg\n-----END CERTIFICATE-----\n";
    let tiny = "-----BEGIN PRIVATE KEY-----\nMIIBszCCAVmg\n-----END PRIVATE KEY-----\n";
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIBszCCAVmg\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old =
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nMIIB\n-----END RSA PRIVATE KEY-----\n";
    let (two_keys, broken_crl) = (one.key.clone() + &other.key, cut.replace("CERTIFICATE", "X509 CRL"));
    let joined = one.certificate.trim_end().to_owned() + &ca.pem();
    let both_joined = one.certificate.trim_end().to_owned() + &one.key;
    let indented = one.certificate.clone() + "  " + &ca.pem();
    let line = |number: usize| format!("line {number} has a BEGIN that is not at its start");
    let (last, next) = (line(one.certificate.lines().count()), line(one.certificate.lines().count() + 1));
    let later_mark = one.certificate.clone() + "\u{feff}" + &ca.pem();
    for (file, text, says) in [
        (&certificate, "", "there is no certificate in it"),
        // What stands on one line with what is before it would be left out, and nobody would know.
        (&certificate, &joined, &last),
        (&key, &both_joined, &last),
        (&certificate, &indented, &next),
        (&client_ca, &later_mark, &next),
        (&certificate, &one.key, "there is no certificate in it"),
        (&certificate, half, "not valid PEM"),
        (&certificate, &(one.certificate.clone() + cut), "certificate 2 of it cannot be read"),
        (&certificate, &other.certificate, "is not the one of the first certificate in"),
        (&key, "", "there is no private key in it"),
        (&key, &one.certificate, "there is no private key in it"),
        (&key, &two_keys, "there are 2 private keys in it"),
        (&key, encrypted, "is encrypted; write it without a pass phrase"),
        (&key, old, "is encrypted; write it without a pass phrase"),
        (&key, tiny, "the private key cannot be used"),
        (&key, &other.key, "is not the one of the first certificate in"),
        (&client_ca, "", "there is no certificate in it"),
        (&client_ca, cut, "certificate 1 of it cannot be read"),
        (&crl, "", "there is no certificate revocation list in it"),
        (&crl, &ca.pem(), "there is no certificate revocation list in it"),
        (&crl, &broken_crl, "the certificate revocation list cannot be used"),
        (&crl, "0garbage", "the certificate revocation list cannot be used"),
    ] {
        let before = fs::read(file).expect("it is there");
        fs::write(file, text).expect("it can be written");
        let error = server.reload_files(&good).expect_err(says).to_string();
        assert!(error.contains(says) && error.contains(&file.display().to_string()), "{error}");
        fs::write(file, before).expect("it can be written");
    }
    for file in [&certificate, &key, &client_ca, &crl] {
        let aside = file.with_extension("aside");
        fs::rename(file, &aside).expect("it is there");
        let error = server.reload_files(&good).expect_err("it is gone").to_string();
        assert!(error.contains("there is no such file") && error.contains(&file.display().to_string()), "{error}");
        fs::create_dir(file).expect("nothing is there");
        let error = server.reload_files(&good).expect_err("it is a directory").to_string();
        assert!(error.contains("this is a directory"), "{error}");
        fs::remove_dir(file).expect("it is empty");
        fs::rename(&aside, file).expect("it is there");
    }
    let error = server.reload_files(&TlsFiles::default()).expect_err("nothing is named").to_string();
    assert!(error.contains("no certificate was named"), "{error}");
    let mut without_ca = good.clone();
    without_ca.client_ca = None;
    let error = server.reload_files(&without_ca).expect_err("no CA").to_string();
    assert!(error.contains("name the client CA too"), "{error}");

    let pair = Pair::connected(&server, &client);
    pair.assert_ready();
    assert!(pair.server.info().resumed(), "not even the sessions are lost");
    server.reload_files(&good).expect("all is as it was");
}

#[test]
fn a_byte_order_mark_hides_no_certificate() {
    let dir = directory("a_byte_order_mark");
    let (ca, other) = (Ca::new("the CA"), Ca::new("another"));
    let made = ca.server(&["localhost"]);
    let marked = |name: &str, text: &str| write(&dir, name, format!("\u{feff}{text}"));
    let mut files = TlsFiles::new(marked("cert.pem", &made.certificate), marked("key.pem", &made.key));
    files.client_ca = Some(marked("ca.pem", &(ca.pem() + &other.pem())));
    let server = TlsServer::from_files(&files).expect("good files");
    for issuer in [&ca, &other] {
        let client = ca.trusted().identity(issuer.client(8).identity()).build("localhost").expect("settings");
        Pair::connected(&server, &client).assert_ready();
    }
}

/// A comment is what stands before a section.
#[test]
fn a_comment_may_say_begin() {
    let dir = directory("a_comment_may_say_begin");
    let made = Ca::new("the CA").server(&["localhost"]);
    let text = format!("# from -----BEGIN CERTIFICATE----- on\r\n{}", made.certificate.replace('\n', "\r\n"));
    TlsFiles::new(write(&dir, "cert.pem", text), write(&dir, "key.pem", made.key)).load().expect("good files");
}

#[test]
fn a_revocation_list_that_makes_all_clients_be_refused_is_warned_of() {
    let dir = directory("a_revocation_list_that_makes");
    let (ca, other) = (Ca::new("the CA"), Ca::new("another"));
    let made = ca.server(&["localhost"]);
    let mut files = TlsFiles::new(write(&dir, "cert.pem", &made.certificate), write(&dir, "key.pem", &made.key));
    files.client_ca = Some(write(&dir, "ca.pem", ca.pem() + &other.pem()));
    let said = |files: &TlsFiles| logged(|| drop(files.load().expect("good files")));
    let is_silent = |text: &str| !text.contains("revocation list");
    assert!(is_silent(&said(&files)), "without lists none is missing");
    files.crls = vec![write(&dir, "crl.pem", ca.crl(&[], 2998)), write(&dir, "other.pem", other.crl(&[], 2998))];
    assert!(is_silent(&said(&files)));

    write(&dir, "other.pem", other.crl(&[], 2024));
    let words = said(&files);
    assert!(
        words.contains("other.pem not_after=\"2024-12-31 00:00 UTC\"") && words.contains("list has expired"),
        "{words}"
    );
    assert_eq!(words.matches("revocation list").count(), 1, "{words}");
    files.crls.pop();
    let words = said(&files);
    assert!(words.contains("no revocation list is of this CA"), "{words}");
    assert!(words.contains("ca.pem certificate=2") && !words.contains("certificate=1"), "{words}");
}

/// Root may read everything: then there is nothing to see.
#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read_is_said_to_be_so() {
    use std::os::unix::fs::PermissionsExt;

    let dir = directory("a_file_that_may_not_be_read");
    let made = Ca::new("the CA").server(&["localhost"]);
    let files = TlsFiles::new(write(&dir, "cert.pem", made.certificate), write(&dir, "key.pem", made.key));
    let key = &files.identities[0].1;
    fs::set_permissions(key, fs::Permissions::from_mode(0o000)).expect("it is ours");
    match fs::read(key) {
        Ok(_) => assert!(files.load().is_ok()),
        Err(_) => {
            let error = files.load().expect_err("it cannot be read").to_string();
            assert!(error.contains("this process may not read it") && error.contains("key.pem"), "{error}");
        }
    }
}

#[test]
fn a_certificate_out_of_its_time_is_logged_with_the_date_and_used() {
    let dir = directory("a_certificate_out_of_its_time");
    let ca = Ca::new("the CA");
    let expired = ca.issue(&["localhost"], 1, |params| params.not_after = date_time_ymd(2024, 2, 29));
    let early = ca.issue(&["localhost"], 1, |params| params.not_before = date_time_ymd(2998, 3, 1));
    let good = ca.server(&["localhost"]);
    for (issued, says) in [
        (&expired, "the certificate has expired: clients will refuse it; renew it"),
        (&early, "the certificate is not valid yet"),
        (&good, ""),
    ] {
        let chain = issued.certificate.clone() + &ca.pem();
        let files = TlsFiles::new(write(&dir, "cert.pem", chain), write(&dir, "key.pem", &issued.key));
        fs::set_permissions(dir.join("key.pem"), private()).expect("it is ours");
        let log = logged(|| assert!(TlsServer::from_files(&files).is_ok()));
        assert!(log.contains(says) && says.is_empty() == log.is_empty(), "{log}");
        assert!(
            says.is_empty() || log.contains("2024-02-29 00:00 UTC") || log.contains("2998-03-01 00:00 UTC"),
            "{log}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_key_that_everybody_can_read_is_logged() {
    use std::os::unix::fs::PermissionsExt;

    let dir = directory("a_key_that_everybody_can_read");
    let ca = Ca::new("the CA");
    let made = ca.server(&["localhost"]);
    let files = TlsFiles::new(write(&dir, "cert.pem", made.certificate + &ca.pem()), write(&dir, "key.pem", made.key));
    fs::set_permissions(dir.join("key.pem"), fs::Permissions::from_mode(0o644)).expect("it is ours");
    let log = logged(|| assert!(files.load().is_ok()));
    assert!(log.contains("everybody on this machine can read the private key") && log.contains("0644"), "{log}");
    fs::set_permissions(dir.join("key.pem"), private()).expect("it is ours");
    assert_eq!(logged(|| assert!(files.load().is_ok())), "");
}

#[cfg(unix)]
#[test]
fn a_chain_that_some_clients_would_refuse_is_logged_and_served() {
    let dir = directory("a_chain_that_some_clients_would_refuse");
    let (root, other) = (Ca::new("the root"), Ca::new("another root"));
    let middle = root.intermediate("the middle");
    let made = middle.server(&["localhost"]);
    let key = write(&dir, "key.pem", &made.key);
    fs::set_permissions(&key, private()).expect("it is ours");
    let said = |chain: &[&str]| {
        let files = TlsFiles::new(write(&dir, "cert.pem", chain.concat()), &key);
        logged(|| assert!(files.load().is_ok()))
    };
    let (own, middle, root, other) = (&*made.certificate, &*middle.pem(), &*root.pem(), &*other.pem());
    for whole in [&[own, middle][..], &[own, middle, root]] {
        assert_eq!(said(whole), "");
    }
    let alone = said(&[own]);
    assert!(alone.contains("comes without its issuer") && alone.contains("issuer=\"the middle\""), "{alone}");
    let gap = said(&[own, root]);
    assert!(gap.contains("none of the certificates in the file issued the first one"), "{gap}");
    let disordered = said(&[own, root, middle]);
    assert!(disordered.contains("not in order") && disordered.contains("certificate=3"), "{disordered}");
    let more = said(&[own, middle, other]);
    assert!(more.contains("issued none of the others") && more.contains("certificate=3"), "{more}");
    assert_eq!(more.lines().count(), 1, "{more}");
}

#[test]
fn a_certificate_that_was_not_signed_by_the_one_that_has_the_name_of_its_issuer_is_refused() {
    let dir = directory("a_certificate_that_was_not_signed");
    let (one, other) = (Ca::new("the CA"), Ca::new("the CA"));
    let made = one.server(&["localhost"]);
    let load = |chain: &[&str]| {
        TlsFiles::new(write(&dir, "cert.pem", chain.concat()), write(&dir, "key.pem", &made.key)).load()
    };
    assert!(load(&[&made.certificate, &one.pem()]).is_ok());
    let error = load(&[&made.certificate, &other.pem()]).expect_err("it is of another key").to_string();
    let says =
        "cert.pem: certificate 1 was not signed by certificate 2, although that has the name of its issuer, the CA";
    assert!(error.contains(says), "{error}");
    // A root that was renewed stands beside the old one.
    assert!(load(&[&made.certificate, &other.pem(), &one.pem()]).is_ok());
}

#[test]
fn signatures_of_all_usual_keys_are_checked() {
    for algorithm in
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519, &rcgen::PKCS_RSA_SHA256]
    {
        let (one, other) = (Ca::with_key("the CA", algorithm), Ca::with_key("the CA", algorithm));
        let made = one.server(&["localhost"]);
        let chain = |ca: &Ca| made.certificate.clone() + &ca.pem();
        assert!(gannet_tls::Identity::from_pem(chain(&one).as_bytes(), made.key.as_bytes()).is_ok(), "{algorithm:?}");
        assert!(
            gannet_tls::Identity::from_pem(chain(&other).as_bytes(), made.key.as_bytes()).is_err(),
            "{algorithm:?}"
        );
    }
}

#[cfg(unix)]
fn private() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o600)
}

#[test]
fn a_key_may_be_of_any_of_the_usual_forms() {
    let ca = Ca::new("the CA");
    for algorithm in
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519, &rcgen::PKCS_RSA_SHA256]
    {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let certificate = ca.certificate(&["localhost"], &key);
        let identity = gannet_tls::Identity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes());
        let server =
            TlsServer::new(gannet_tls::TlsConfig::new(identity.expect("they belong together"))).expect("settings");
        Pair::connected(&server, &ca.trusted().build("localhost").expect("settings")).assert_ready();
    }
}

/// A pipe that nobody writes to would be waited for, and a device may have no end.
#[cfg(unix)]
#[test]
fn a_reload_refuses_what_is_no_regular_file_and_nothing_reads_a_file_without_end() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    let dir = directory("no_regular_file");
    let ca = Ca::new("the CA");
    let one = ca.server(&["localhost"]);
    let certificate = write(&dir, "cert.pem", &one.certificate);
    let key = write(&dir, "key.pem", &one.key);
    let client_ca = write(&dir, "ca.pem", ca.pem());
    let crl = write(&dir, "crl.pem", ca.crl(&[], 2998));
    let mut good = TlsFiles::new(&certificate, &key);
    (good.client_ca, good.crls) = (Some(client_ca.clone()), vec![crl.clone()]);
    let server = TlsServer::from_files(&good).expect("good files");
    for file in [&certificate, &key, &client_ca, &crl] {
        let refused = |what: &str, says: &str| {
            let error = server.reload_files(&good).expect_err(what).to_string();
            assert!(error.contains(says) && error.contains(&file.display().to_string()), "{what}: {error}");
        };
        let aside = file.with_extension("aside");
        fs::rename(file, &aside).expect("it is there");
        mknodat(CWD, file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        refused("a pipe", "no regular file");
        fs::remove_file(file).expect("it is there");
        std::os::unix::fs::symlink("/dev/zero", file).expect("a link");
        refused("a device", "no regular file");
        let error = good.load().expect_err("a device without end").to_string();
        assert!(error.contains("larger than 16 MiB"), "{error}");
        fs::remove_file(file).expect("it is there");
        // All of it is a hole: it takes no room on the disk.
        fs::File::create(file).and_then(|large| large.set_len(1 << 40)).expect("a sparse file");
        refused("a large file", "larger than 16 MiB");
        fs::remove_file(file).expect("it is there");
        fs::rename(&aside, file).expect("it is there");
    }
    server.reload_files(&good).expect("all is as it was");
}
