#!/usr/bin/env bash
# perl: hashes, regular expressions, sorting, closures, Storable, fork and pipes, ithreads where perl has them. Run by ./run.
. "$(dirname "$0")/lib.sh"
need perl

cat >work.pl <<'SCRIPT'
use strict; use warnings;
use Config; use Storable qw(freeze thaw dclone); use Digest::SHA qw(sha256_hex); use List::Util qw(sum max first shuffle);
my $rounds = shift;
$| = 1;

open my $in, '<', 'words.txt' or die;
my (%count, %by_letter, @lines);
while (my $line = <$in>) {
    chomp $line;
    push @lines, $line;
    my ($number, @words) = split ' ', $line;
    for (@words) { $count{$_} += $number % 13; push @{ $by_letter{substr $_, 0, 1}{length $_} }, $_ }
}
print "distinct ", scalar(keys %count), "\n";
my @top = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 19];
print "$_ $count{$_}\n" for @top;
for my $letter (sort keys %by_letter) {
    print "$letter: ", join(' ', map { "$_=" . @{ $by_letter{$letter}{$_} } } sort { $a <=> $b } keys %{ $by_letter{$letter} }), "\n";
}

my $text = join "\n", @lines;
my $pairs = () = $text =~ /\b(\w)\w*\1\b/g;
(my $changed = $text) =~ s/(\w+) (\w+)/$2 \u$1/g;
print "$pairs ", sha256_hex($changed), "\n";
my %seen; $changed =~ s/(\w{3,})(?{ $seen{length $1}++ })/<$1>/g;
print join(',', map { "$_:$seen{$_}" } sort { $a <=> $b } keys %seen), "\n";

for my $round (1 .. $rounds) {
    my $copy = thaw freeze dclone(\%by_letter);
    my @sorted = sort { lc $a cmp lc $b or $a cmp $b } map { @$_ } map { values %$_ } values %$copy;
    print "round $round ", sha256_hex(join ',', @sorted), "\n";
}

my $state = 42;
my @sparse; my $big = '';
for (1 .. 60000) {
    $state = ($state * 16807) % 2147483647;
    my $slot = $state % 5000;
    $sparse[$slot] = defined $sparse[$slot] && $state & 1 ? undef : 'x' x ($state % 700);
    $big .= chr(65 + $state % 26);
    substr($big, $state % length $big, 3) = 'new words' if $_ % 10 == 0;
}
print sha256_hex(join '|', map { defined ? length : 'u' } @sparse), ' ', sha256_hex($big), "\n";
my @closures = map { my $n = $_; sub { $n += shift; $n } } 1 .. 5000;
print sum(map { $_->(2) + $_->(3) } @closures), "\n";

for my $child (1 .. 4) {
    my $pid = open my $pipe, '-|';
    defined $pid or die;
    if (!$pid) { print sha256_hex(join $child, reverse @lines), "\n"; exit $child }
    print "child $child: ", <$pipe>;
    close $pipe; print 'status ', $? >> 8, "\n";
}

if ($Config{useithreads}) {
    require threads;
    my @threads = map { my $n = $_; threads->create(sub {
        my %h; $h{"$n-$_"} = 'v' x ($_ % 200) for 1 .. 20000; delete $h{"$n-" . 2 * $_} for 1 .. 9000;
        return sha256_hex(join ',', map { "$_$h{$_}" } sort keys %h);
    }) } 1 .. 3;
    print $_->join, "\n" for @threads;
}
SCRIPT

random_words "$(size 15000 300)" 5 >words.txt
"${UNDER[@]}" perl work.pl "$(size 4 1)"
