#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::count::Counts;
use crate::policy::Policy;
use crate::route::Route;

const ME: NodeId = NodeId(1);

fn nodes(ids: &[u16]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

/// To a destination: the relays of the first way and of the second.
type Lease<'a> = (u16, &'a [u16], Option<&'a [u16]>);

#[derive(Debug, Default)]
struct Network {
    routes: Routes,
    policies: Policies,
    health: BTreeMap<NodeId, Health>,
}

impl Network {
    /// Neighbours 2 to 6, all good; ways to each destination.
    fn new(ways: &[Lease<'_>]) -> Network {
        let mut network = Network::default();
        let route = |(destination, via, second): &Lease<'_>| Route {
            destination: NodeId(*destination),
            via: nodes(via),
            second: second.map(nodes),
            tag: 0,
        };
        let routes: Vec<Route> = ways.iter().map(route).collect();
        let mut counts = Counts::new();
        network
            .routes
            .replace(ME, &routes, &network.policies, &mut counts);
        for node in 2..=6 {
            network.set(node, Health::Good);
        }
        network
    }

    fn set(&mut self, node: u16, health: Health) {
        self.health.insert(NodeId(node), health);
    }

    fn view<R>(&self, sick: bool, call: impl FnOnce(&View<'_>) -> R) -> R {
        let health = |n: NodeId| self.health.get(&n).copied().unwrap_or(Health::Down);
        let those = |wanted: Health| -> Vec<NodeId> {
            let all = self.health.keys().copied();
            all.filter(|n| health(*n) == wanted).collect()
        };
        call(&View {
            node: ME,
            routes: &self.routes,
            policies: &self.policies,
            health: &health,
            near: &those(Health::Good),
            held: &those(Health::Held),
            sick,
        })
    }

    fn plan(&self, targets: &[u16]) -> Plan {
        self.view(false, |view| Plan::new(view, 0, &nodes(targets)))
    }
}

/// Every way to where something is delivered, as nodes.
fn ways(branches: &[Branch]) -> Vec<Vec<u16>> {
    let mut ways = Vec::new();
    for branch in branches {
        let mut chain = Vec::new();
        for stop in branch.tree.as_tree().stops() {
            chain.truncate(stop.depth.into());
            chain.push(stop.node.0);
            if stop.delivers {
                ways.push(chain.clone());
            }
        }
    }
    ways.sort();
    ways
}

fn level(plan: &Plan, class: Class) -> Vec<Vec<u16>> {
    ways(plan.level(plan.choose(class, |_| true).0))
}

#[test]
fn protected_classes_go_both_ways_and_the_rest_one() {
    let network = Network::new(&[(9, &[2], Some(&[3, 4]))]);
    let plan = network.plan(&[9]);
    assert_eq!(level(&plan, Class::Rest), [vec![2, 9]]);
    for class in [Class::Control, Class::Audio, Class::Base] {
        assert_eq!(level(&plan, class), [vec![2, 9], vec![3, 4, 9]]);
    }
    assert_eq!((plan.crossings(), plan.extra(2)), (2, 3));
    assert_eq!(plan.choose(Class::Audio, |_| false), (0, true));
    assert_eq!(plan.choose(Class::Rest, |_| false), (0, false));
}

#[test]
fn first_and_second_ways_share_links_so_that_protection_costs_little() {
    let network = Network::new(&[(2, &[], Some(&[3])), (3, &[], Some(&[2]))]);
    let plan = network.plan(&[2, 3]);
    let branches = plan.level(2);
    assert_eq!(branches.len(), 2, "one copy on each link");
    let all = [vec![2], vec![2, 3], vec![3], vec![3, 2]];
    assert_eq!(ways(branches), all);
    let copies = branches.iter().flat_map(|b| b.tree.as_tree().stops());
    assert!(
        copies
            .filter(|s| s.delivers)
            .all(|s| s.copy == (s.depth > 0))
    );
}

#[test]
fn one_copy_crosses_a_link_however_many_want_it() {
    let network = Network::new(&[
        (7, &[2], None),
        (8, &[2], None),
        (9, &[2, 7], None),
        (2, &[], None),
    ]);
    let plan = network.plan(&[7, 8, 9, 2]);
    assert_eq!(plan.level(0).len(), 1);
    assert_eq!((plan.crossings(), plan.reached), (4, 4));
    assert_eq!(
        level(&plan, Class::Rest),
        [vec![2], vec![2, 7], vec![2, 7, 9], vec![2, 8]]
    );
}

#[test]
fn a_crowd_of_destinations_makes_several_frames() {
    let ways: Vec<Lease<'_>> = (10..60).map(|n| (n, &[2][..], None)).collect();
    let targets: Vec<u16> = (10..60).collect();
    let plan = Network::new(&ways).plan(&targets);
    assert_eq!(plan.level(0).len(), 4, "15 of them behind each root");
    assert_eq!(plan.reached, 50);
    assert_eq!(level(&plan, Class::Rest).len(), 50);
}

#[test]
fn everything_is_doubled_while_the_first_link_is_suspect() {
    let mut network = Network::new(&[(9, &[2], Some(&[3]))]);
    network.set(2, Health::Suspect);
    let plan = network.plan(&[9]);
    assert_eq!(level(&plan, Class::Rest), [vec![2, 9], vec![3, 9]]);
    assert_eq!(
        ways(plan.level(0)),
        [vec![3, 9]],
        "the sound way if only one is paid for"
    );
    network.set(3, Health::Suspect);
    let plan = network.plan(&[9]);
    let wide = [vec![2, 9], vec![3, 9], vec![4, 9], vec![5, 9]];
    assert_eq!(
        level(&plan, Class::Audio),
        wide,
        "both ways are sick: four of them"
    );
    assert_eq!(level(&plan, Class::Base).len(), 2);
    network.set(2, Health::Down);
    assert_eq!(
        level(&network.plan(&[9]), Class::Rest),
        [vec![3, 9], vec![4, 9]]
    );
    network.set(3, Health::Good);
    assert_eq!(level(&network.plan(&[9]), Class::Rest), [vec![3, 9]]);
}

#[test]
fn a_held_link_is_the_second_choice_and_doubles_nothing() {
    let mut network = Network::new(&[(9, &[2], Some(&[3]))]);
    network.set(2, Health::Held);
    let plan = network.plan(&[9]);
    assert_eq!(level(&plan, Class::Rest), [vec![3, 9]]);
    assert_eq!(level(&plan, Class::Audio), [vec![2, 9], vec![3, 9]]);
    network.set(3, Health::Down);
    assert_eq!(level(&network.plan(&[9]), Class::Rest), [vec![2, 9]]);
}

#[test]
fn when_the_lease_is_dead_the_direct_link_then_any_neighbour() {
    let mut network = Network::new(&[(6, &[2], Some(&[3]))]);
    network.set(2, Health::Down);
    network.set(3, Health::Down);
    let plan = network.plan(&[6]);
    assert_eq!(level(&plan, Class::Rest), [vec![6]]);
    assert_eq!(level(&plan, Class::Base), [vec![4, 6], vec![6]]);
    network.set(6, Health::Down);
    let plan = network.plan(&[6]);
    assert_eq!(level(&plan, Class::Base), [vec![4, 6]]);
    assert_eq!(level(&plan, Class::Audio), [vec![4, 6], vec![5, 6]]);
    network.set(4, Health::Down);
    network.set(5, Health::Down);
    assert_eq!(
        network.plan(&[6, 66]).failed,
        [Count::DropNextHopDown, Count::DropNoRoute]
    );
}

#[test]
fn a_lease_without_a_second_way_is_protected_over_the_direct_link_or_somebody_near() {
    let mut network = Network::new(&[(6, &[2], None), (9, &[2], None), (3, &[], None)]);
    let plan = network.plan(&[6]);
    assert_eq!(level(&plan, Class::Rest), [vec![2, 6]]);
    assert_eq!(level(&plan, Class::Audio), [vec![2, 6], vec![6]]);
    network.set(6, Health::Held);
    assert_eq!(
        level(&network.plan(&[6]), Class::Audio),
        [vec![2, 6], vec![6]]
    );
    assert_eq!(
        level(&network.plan(&[9]), Class::Audio),
        [vec![2, 9], vec![3, 9]]
    );
    assert_eq!(
        level(&network.plan(&[3]), Class::Base),
        [vec![2, 3], vec![3]]
    );
}

#[test]
fn a_link_that_fell_silent_just_now_is_the_last_resort() {
    let mut network = Network::new(&[(6, &[2], Some(&[3]))]);
    for node in 2..=6 {
        network.set(node, Health::Down);
    }
    network.set(2, Health::Silent);
    assert_eq!(level(&network.plan(&[6]), Class::Rest), [vec![2, 6]]);
    network.set(4, Health::Good);
    let plan = network.plan(&[6]);
    assert_eq!(level(&plan, Class::Rest), [vec![4, 6]]);
    assert_eq!(level(&plan, Class::Audio), [vec![2, 6], vec![4, 6]]);
    network.set(6, Health::Held);
    let plan = network.plan(&[6]);
    assert_eq!(level(&plan, Class::Rest), [vec![6]], "any other is better");
    assert_eq!(level(&plan, Class::Audio), [vec![4, 6], vec![6]]);
}

#[test]
fn a_detour_takes_a_held_link_where_there_is_no_better_one() {
    let mut network = Network::new(&[(9, &[2], Some(&[3]))]);
    for node in [2, 4, 5, 6] {
        network.set(node, Health::Down);
    }
    network.set(3, Health::Held);
    let tree = TreeBuf::chain(&nodes(&[2, 9])).unwrap();
    let around = |network: &Network| {
        let origin = (NodeId(30), 0, 1);
        network.view(false, |view| ways(&view.around(origin, tree.as_tree())))
    };
    assert_eq!(around(&network), [vec![3, 9]]);
    // Whether 4 reaches it nobody knows.
    network.set(4, Health::Good);
    assert_eq!(around(&network), [vec![3, 9]]);
    network.set(3, Health::Suspect);
    assert_eq!(around(&network), [vec![4, 9]]);
}

#[test]
fn where_every_known_way_is_dead_a_link_on_hold_is_tried_too() {
    let mut network = Network::new(&[(9, &[2, 3], None)]);
    for node in [2, 3, 5, 6, 9] {
        network.set(node, Health::Down);
    }
    network.set(2, Health::Silent);
    network.set(4, Health::Held);
    let plan = network.plan(&[9]);
    assert_eq!(level(&plan, Class::Rest), [vec![2, 3, 9]]);
    assert_eq!(level(&plan, Class::Audio), [vec![2, 3, 9], vec![4, 9]]);
    network.set(2, Health::Down);
    assert_eq!(level(&network.plan(&[9]), Class::Rest), [vec![4, 9]]);
}

#[test]
fn a_sick_end_of_our_own_fans_out() {
    let network = Network::new(&[(9, &[2], Some(&[3]))]);
    let plan = network.view(true, |view| Plan::new(view, 0, &nodes(&[9])));
    assert_eq!(level(&plan, Class::Audio).len(), MAX_FAN);
    assert_eq!(level(&plan, Class::Base).len(), 2);
}

#[test]
fn a_detour_goes_around_the_next_node_or_to_it_another_way() {
    let origin = NodeId(20);
    let around = |network: &Network, path: &[u16], hops| {
        let tree = TreeBuf::chain(&nodes(path)).unwrap();
        network.view(false, |view| {
            ways(&view.around((origin, 0, hops), tree.as_tree()))
        })
    };
    let mut network = Network::new(&[(9, &[2], Some(&[3]))]);
    assert_eq!(around(&network, &[2, 9], 1), [vec![3, 9]]);
    assert_eq!(around(&network, &[2], 1), [vec![3, 2]]);
    assert_eq!(around(&network, &[2], 2), [vec![3, 2]]);
    assert!(
        around(&network, &[2], 3).is_empty(),
        "no link is left for a detour"
    );
    // Nobody near knows 8 but by 2's word: around the link to it.
    network.health.retain(|node, _| node.0 <= 3);
    let tree = around(&network, &[2, 8], 1);
    assert_eq!(tree, [vec![3, 8]], "a neighbour may know a way");
    network.health.remove(&NodeId(3));
    assert!(around(&network, &[2, 8], 1).is_empty());
}

#[test]
fn a_tag_without_a_table_goes_nowhere() {
    let network = Network::new(&[(2, &[], None)]);
    let plan = network.view(false, |view| Plan::new(view, 5, &nodes(&[2])));
    assert_eq!(
        (plan.reached, &plan.failed[..]),
        (0, &[Count::DropTagUnknown][..])
    );
}

prop_compose! {
    fn network()(
        ways in prop::collection::vec(
            (1u16..12, prop::collection::vec(1u16..12, 0..3),
             prop::option::of(prop::collection::vec(1u16..12, 0..3)), 0u32..3),
            0..30,
        ),
        sets in prop::collection::vec(prop::collection::btree_set(1u16..12, 0..10), 2),
        health in prop::collection::btree_map(2u16..12, 0usize..4, 0..11),
    ) -> (Network, Vec<BTreeSet<u16>>) {
        let mut network = Network::default();
        let policies: Vec<Policy> = sets.iter().zip(1..).map(|(set, tag)| Policy {
            tag, nodes: set.iter().copied().map(NodeId).collect(),
        }).collect();
        network.policies.replace(&policies);
        let routes: Vec<Route> = ways.into_iter().map(|(to, via, second, tag)| Route {
            destination: NodeId(to), via: nodes(&via), second: second.map(|s| nodes(&s)), tag,
        }).collect();
        network.routes.replace(ME, &routes, &network.policies, &mut Counts::new());
        for (node, health) in health {
            let all = [Health::Good, Health::Held, Health::Suspect, Health::Down];
            network.set(node, all[health]);
        }
        (network, sets)
    }
}

proptest! {
    #[test]
    fn every_plan_is_sound(
        (network, sets) in network(), targets in prop::collection::btree_set(2u16..12, 1..10),
        tag in 0u32..4, sick: bool, hops in 0u8..4, chain in prop::collection::btree_set(2u16..12, 1..4),
    ) {
        let targets: Vec<u16> = targets.into_iter().collect();
        let allowed = |n: u16| tag == 0 || sets.get(tag as usize - 1).is_some_and(|s| s.contains(&n));
        let plan = network.view(sick, |view| Plan::new(view, tag, &nodes(&targets)));
        prop_assert_eq!(plan.reached as usize + plan.failed.len(), targets.len());
        let mut delivered = BTreeSet::new();
        for level in 0..4 {
            let ways = ways(plan.level(level));
            prop_assert!(level == 0 || plan.crossings[level] >= plan.crossings[level - 1]);
            for way in &ways {
                prop_assert!(way.len() <= 3 && !way.contains(&1));
                prop_assert!(allowed(1) && way.iter().all(|n| allowed(*n)), "{:?}", way);
                prop_assert!(network.health[&NodeId(way[0])] != Health::Down);
                prop_assert!(targets.contains(way.last().unwrap()));
            }
            delivered.extend(ways.iter().map(|way| *way.last().unwrap()));
            if level == 0 {
                prop_assert_eq!(delivered.len() as u64, plan.reached);
            }
        }
        let chain: Vec<NodeId> = chain.into_iter().map(NodeId).collect();
        let origin = NodeId(30);
        let tree = TreeBuf::chain(&chain[..chain.len().min(3)]).unwrap();
        let detour = network.view(sick, |view| view.around((origin, tag, hops), tree.as_tree()));
        for way in ways(&detour) {
            let links = usize::from(hops) + way.len();
            prop_assert!(links <= 3 + usize::from(hops > 0));
            prop_assert!(way[0] != chain[0].0 && way.iter().all(|n| allowed(*n)));
            prop_assert!(network.health[&NodeId(way[0])] <= Health::Held);
        }
    }
}
