//! What matters of the manifests: they are what Kubernetes takes, they run every role, and nothing more is allowed than is
//! needed.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_yaml_ng::Value;
use testkit::kubernetes_validate;

use crate::manifests::{Object, files, objects};
use crate::{WAYBILL, project, read};

/// Oldest and newest that the manifests are held against. `sleep` of preStop is in 1.30 and later.
const VERSIONS: [&str; 2] = ["1.30.0", "1.37.0"];
/// What is run besides the program: from compose, so that both run the same.
const OTHERS: [&str; 3] = ["nats", "postgres", "edge"];

fn help(arguments: &[&str]) -> String {
    let said = Command::new(WAYBILL).args(arguments).output().unwrap();
    String::from_utf8(said.stdout).unwrap()
}

/// Commands of the program that serve until they are stopped: those whose own line of help says so in the README.
fn roles() -> BTreeSet<String> {
    let readme = read("README.md");
    let line = readme
        .lines()
        .find(|line| line.contains("roles (`command-api`"))
        .unwrap();
    let listed = line.split_once("roles (").unwrap().1;
    let listed = listed.split_once(')').unwrap().0;
    let roles: BTreeSet<String> = listed
        .split(',')
        .map(|role| role.trim().trim_matches('`').to_owned())
        .collect();
    let known = help(&["--help"]);
    for role in &roles {
        assert!(known.contains(role.as_str()), "{role} is a command");
    }
    roles
}

/// What is run, by name.
fn running() -> BTreeMap<String, Object> {
    let running = objects()
        .into_iter()
        .filter(|object| object.pod().is_some());
    running
        .map(|object| (object.name.clone(), object))
        .collect()
}

fn is_ours(object: &Object) -> bool {
    object.container()["image"] == "waybill"
}

#[test]
fn kubernetes_takes_the_manifests_old_and_new() {
    for version in VERSIONS {
        let said = kubernetes_validate(&files(), version);
        assert!(
            said.status.success(),
            "on {version}: {}{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        );
    }
    // One that it does not take is found.
    let folder = tempfile::tempdir().unwrap();
    let spoilt = folder.path().join("projector.yaml");
    let text = read("docker/kubernetes/projector.yaml");
    let changed = text.replacen("readinessProbe:", "readyProbe:", 1);
    assert_ne!(text, changed);
    std::fs::write(&spoilt, changed).unwrap();
    assert!(!kubernetes_validate(&[spoilt], VERSIONS[1]).status.success());
}

#[test]
fn every_role_is_run_twice_with_probes_and_room_for_one_to_be_away() {
    let (running, all) = (running(), objects());
    for role in roles() {
        let object = running
            .get(&role)
            .unwrap_or_else(|| panic!("{role} is not run"));
        let container = object.container();
        assert_eq!(container["args"][0].as_str(), Some(&*role));
        // The sandbox stands for something outside, of which there is one.
        let replicas = object.value["spec"]["replicas"].as_u64().unwrap();
        assert!(replicas >= 2 || role == "payment-sandbox", "{role}");
        for (probe, path) in [
            ("startupProbe", "/livez"),
            ("livenessProbe", "/livez"),
            ("readinessProbe", "/readyz"),
        ] {
            assert_eq!(container[probe]["httpGet"]["path"], path, "{role}");
            assert_eq!(container[probe]["httpGet"]["port"], "http", "{role}");
        }
        let port = &container["ports"][0];
        assert_eq!(port["name"], "http");
        // Where the program listens in a container: the image says so, and the sandbox's own setting.
        let listens = match object.settings().get("WAYBILL_SANDBOX_ADDR") {
            Some(address) => address.clone().unwrap(),
            None => {
                let image = read("docker/Dockerfile");
                let told = image.split_once("WAYBILL_HTTP_ADDR=").unwrap().1;
                told.split_whitespace().next().unwrap().to_owned()
            }
        };
        let number = port["containerPort"].as_u64().unwrap();
        assert!(
            listens.ends_with(&format!(":{number}")),
            "{role}: {listens}"
        );
        let budget = all
            .iter()
            .find(|other| other.kind == "PodDisruptionBudget" && other.name == role)
            .unwrap_or_else(|| panic!("{role} has no disruption budget"));
        assert_eq!(budget.value["spec"]["maxUnavailable"].as_u64(), Some(1));
    }
}

#[test]
fn nothing_runs_as_root_writes_to_its_own_disk_or_may_do_what_it_need_not() {
    for object in running().values() {
        let (name, pod) = (&object.name, &object.pod().unwrap()["spec"]);
        let (all, one) = (
            &pod["securityContext"],
            &object.container()["securityContext"],
        );
        assert_eq!(all["runAsNonRoot"], true, "{name}");
        assert!(all["runAsUser"].as_u64().unwrap() > 0, "{name}");
        assert_eq!(all["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(one["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(one["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(one["capabilities"]["drop"][0], "ALL", "{name}");
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        let room = &object.container()["resources"];
        assert!(room["requests"]["cpu"].is_string(), "{name}");
        assert!(room["limits"]["memory"].is_string(), "{name}");
    }
}

#[test]
fn every_setting_that_is_named_is_one_of_the_programs() {
    let known = help(&["--help"]) + &help(&["payment-sandbox", "--help"]);
    let (all, mut named) = (objects(), BTreeSet::new());
    for shared in all.iter().filter(|object| object.kind == "ConfigMap") {
        let data = shared.value["data"].as_mapping().unwrap();
        named.extend(data.keys().map(|name| name.as_str().unwrap().to_owned()));
        if let Some(replicas) = data.get("WAYBILL_STREAM_REPLICAS") {
            assert_eq!(replicas, "3");
        }
    }
    for object in running().values().filter(|object| is_ours(object)) {
        named.extend(object.settings().into_keys());
    }
    assert!(named.len() > 12, "{named:?}");
    for name in named {
        let spelt = known.contains(&format!("[env: {name}="));
        assert!(spelt, "{name} is no setting");
    }
}

#[test]
fn each_role_sees_its_own_secrets_and_no_others_and_all_of_them_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("sh")
        .arg(project("docker/secrets.sh"))
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let made: BTreeSet<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let roles = roles();
    for object in running().values() {
        let (name, seen) = (&object.name, object.secrets());
        let others_address = |key: &String| {
            key.starts_with("nats_")
                && key.ends_with("_url")
                && *key != format!("nats_{name}_url")
                && !(name == "migrate" && key == "nats_deployer_url")
        };
        assert!(!seen.iter().any(others_address), "{name}: {seen:?}");
        if is_ours(object) {
            // A file that a setting names is one that is shown.
            for file in object.settings().into_values().flatten() {
                let Some(key) = file.strip_prefix("/run/secrets/waybill/") else {
                    continue;
                };
                assert!(seen.iter().any(|seen| seen == key), "{name}: {key}");
            }
            if !roles.contains(name) && name != "migrate" {
                continue;
            }
        }
        for key in &seen {
            assert!(made.contains(key), "{name}: {key} is not made");
        }
    }
    // Postgres gives each login the password that was made for it.
    let of_logins: BTreeSet<String> = made
        .into_iter()
        .filter(|key| key.starts_with("postgres_"))
        .collect();
    let given = running()["postgres"].secrets().into_iter().collect();
    assert_eq!(of_logins, given);
}

#[test]
fn the_log_is_kept_by_three_brokers_on_three_machines_that_write_everything_to_disk() {
    let running = running();
    let nats = &running["nats"];
    assert_eq!(nats.kind, "StatefulSet");
    assert_eq!(nats.value["spec"]["replicas"].as_u64(), Some(3));
    assert_eq!(nats.value["spec"]["podManagementPolicy"], "Parallel");
    let apart = &nats.pod().unwrap()["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        [0];
    assert_eq!(apart["topologyKey"], "kubernetes.io/hostname");
    // The very files that tests start three real brokers from.
    let list: Value = serde_yaml_ng::from_str(&read("docker/nats/kustomization.yaml")).unwrap();
    let shown = list["configMapGenerator"][0]["files"]
        .as_sequence()
        .unwrap();
    for file in ["nats.conf", "server.conf", "cluster.conf", "accounts.conf"] {
        assert!(shown.iter().any(|shown| shown == file), "{file}");
    }
    assert!(read("docker/nats/server.conf").contains("sync_interval: always"));
    let quota = nats.settings()["NATS_MAX_FILE_STORE"].clone().unwrap();
    let volume =
        &nats.value["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"];
    let number = |text: &str| {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        digits.parse::<u64>().unwrap()
    };
    assert!(number(&quota) < number(volume.as_str().unwrap()));
}

#[test]
fn compose_and_kubernetes_run_the_same_versions_and_the_image_has_the_programs() {
    let compose: Value = serde_yaml_ng::from_str(&read("docker/compose.yaml")).unwrap();
    let running = running();
    for name in OTHERS {
        let service = match name {
            "nats" => &compose["x-nats"],
            other => &compose["services"][other],
        };
        assert_eq!(
            running[name].container()["image"],
            service["image"],
            "{name}"
        );
    }
    let list: Value =
        serde_yaml_ng::from_str(&read("docker/kubernetes/kustomization.yaml")).unwrap();
    let image = &list["images"][0];
    assert_eq!(image["name"], "waybill");
    assert_eq!(image["newTag"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn everything_is_refused_on_the_network_that_no_rule_allows_and_rules_name_what_runs() {
    let (all, running) = (objects(), running());
    let policies: Vec<&Object> = all
        .iter()
        .filter(|object| object.kind == "NetworkPolicy")
        .collect();
    let nobody = policies
        .iter()
        .find(|policy| policy.name == "nobody")
        .unwrap();
    let spec = &nobody.value["spec"];
    assert!(spec["podSelector"].as_mapping().unwrap().is_empty());
    assert!(spec["ingress"].is_null() && spec["egress"].is_null());
    assert_eq!(spec["policyTypes"].as_sequence().unwrap().len(), 2);
    // Who uses broker or database says so, and nobody else does.
    for object in running.values().filter(|object| is_ours(object)) {
        let labels = &object.pod().unwrap()["metadata"]["labels"];
        for (setting, label) in [
            ("WAYBILL_NATS_URL_FILE", "uses-broker"),
            ("WAYBILL_DATABASE_URL_FILE", "uses-database"),
        ] {
            let uses = object.settings().contains_key(setting);
            let name = &object.name;
            assert_eq!(labels[label] == "true", uses, "{name}: {label}");
        }
    }
    // A rule about something that does not run would allow nothing, unnoticed.
    let text = read("docker/kubernetes/network.yaml");
    for line in text.lines() {
        if let Some(app) = line.split_once("{ app: ").map(|(_, rest)| rest) {
            let app = app.trim_end_matches([' ', '}']);
            assert!(running.contains_key(app), "{app} does not run");
        }
    }
}

#[test]
fn the_world_comes_in_through_the_edge_alone() {
    let all = objects();
    let ingress = all.iter().find(|object| object.kind == "Ingress").unwrap();
    let rules = ingress.value["spec"]["rules"].as_sequence().unwrap();
    for rule in rules {
        let backend = &rule["http"]["paths"][0]["backend"]["service"];
        assert_eq!(backend["name"], "edge");
    }
    assert!(
        !ingress.value["spec"]["tls"]
            .as_sequence()
            .unwrap()
            .is_empty()
    );
    for object in all.iter().filter(|object| object.kind == "Service") {
        // Only inside the cluster.
        assert!(object.value["spec"]["type"].is_null(), "{}", object.name);
    }
}
