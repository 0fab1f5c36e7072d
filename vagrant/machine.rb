# What the machines of this directory have in common: one VM (Vagrantfile) and two (two/Vagrantfile).
#
#   TESTBED_BOX       a box's name or file   the box of `make vagrant-box` if there is one, else a public one
#   TESTBED_CPUS      2                      of each VM
#   TESTBED_MEMORY    2048                   MiB of each VM
#   TESTBED_DRIVER    kvm or qemu            what the machine has (libvirt only)
#   TESTBED_CLOCK     real or counted        counted: an emulated processor's clock counts instructions, not ours
#   TESTBED_FOLDER    the project            what becomes /testbed in the VM
#
# The provider is Vagrant's own choice, --provider or VAGRANT_DEFAULT_PROVIDER: libvirt or virtualbox.

module Testbed
  PROJECT = File.expand_path("..", __dir__)
  PUBLIC_BOX = "debian/bookworm64"
  PROVIDERS = %w[libvirt virtualbox]
  # What wheels for x86-64-v2 need is in it, and nothing that QEMU cannot emulate.
  EMULATED_CPU = "Nehalem"
  # Made anew in the VM (scripts/install.sh), or of no use there.
  NOT_COPIED = %w[.git/ .venv/ .cache/ .hypothesis/ .vagrant/ build/ *.egg-info/ __pycache__/]

  class Mistake < Vagrant::Errors::VagrantError
    def initialize(line)
      @line = line
      super()
    end

    def error_message
      @line
    end
  end

  def self.setting(name, default, pattern, meaning)
    value = ENV.fetch("TESTBED_#{name}", "").strip
    value = default.to_s if value.empty?
    return value if value.match?(pattern)

    raise Mistake.new("TESTBED_#{name} is '#{value}': it must be #{meaning}")
  end

  # Say what is wrong with the settings now: later, Vagrant would wrap it in pages of its own.
  def self.check
    [provider, cpus, memory_mib, driver, clock, folder, box]
  end

  def self.cpus
    setting("CPUS", 2, /\A[1-9]\d?\z/, "a number of CPUs").to_i
  end

  def self.memory_mib
    megabytes = setting("MEMORY", 2048, /\A\d+\z/, "a number of MiB").to_i
    return megabytes if megabytes >= 1024

    raise Mistake.new("TESTBED_MEMORY is #{megabytes} MiB: the testbed needs 1024")
  end

  def self.driver
    setting("DRIVER", kvm? ? "kvm" : "qemu", /\A(kvm|qemu)\z/, "kvm or qemu")
  end

  # Counted, the kernel's timers take no larger part of a slow processor than of a fast one, and its timeouts
  # do not run out between two steps of a test. The guest's date falls behind ours, and it has one CPU's speed.
  def self.clock
    setting("CLOCK", "real", /\A(real|counted)\z/, "real or counted")
  end

  # A machine may have /dev/kvm and no processor behind it that could run a guest.
  def self.kvm?
    File.exist?("/dev/kvm") && File.read("/proc/cpuinfo").match?(/^flags\s*:.*\b(vmx|svm)\b/)
  rescue SystemCallError
    false
  end

  def self.folder
    folder = File.expand_path(ENV.fetch("TESTBED_FOLDER", PROJECT))
    return folder if File.exist?(File.join(folder, "scripts/install.sh"))

    raise Mistake.new("TESTBED_FOLDER is #{folder}: there is no testbed in it (scripts/install.sh)")
  end

  # The box's name and, for one that is a file, where that is.
  def self.box
    wanted = ENV.fetch("TESTBED_BOX", "")
    wanted = built_box || PUBLIC_BOX if wanted.empty?
    return [wanted, nil] unless wanted.end_with?(".box")
    raise Mistake.new("TESTBED_BOX: there is no file #{wanted}") unless File.exist?(wanted)

    [File.basename(wanted, ".box"), "file://#{File.expand_path(wanted)}"]
  end

  # The box that `make vagrant-box` made last; it is one of libvirt's.
  def self.built_box
    return nil unless provider == "libvirt"

    Dir[File.join(PROJECT, ".cache/vagrant/ct-offload-*.box")].max_by { |file| File.mtime(file) }
  end

  def self.provider
    option = ARGV.join(" ")[/--provider[= ](\S+)/, 1]
    asked = option || ENV.fetch("VAGRANT_DEFAULT_PROVIDER", "")
    asked = libvirt? ? "libvirt" : "virtualbox" if asked.empty?
    check_provider(asked)
    asked
  end

  def self.check_provider(asked)
    unless PROVIDERS.include?(asked)
      raise Mistake.new("unknown provider '#{asked}': there are #{PROVIDERS.join(" and ")}")
    end
    if asked == "libvirt" && !libvirt?
      raise Mistake.new("the provider libvirt needs a plugin: apt-get install vagrant-libvirt," \
                        " or vagrant plugin install vagrant-libvirt")
    end
    return if asked == "libvirt" || virtualbox?

    raise Mistake.new("no provider: install vagrant-libvirt (apt-get install vagrant-libvirt) or VirtualBox")
  end

  def self.libvirt?
    Vagrant.has_plugin?("vagrant-libvirt")
  end

  def self.virtualbox?
    Vagrant::Util::Which.which("VBoxManage")
  end

  # Give a VM its box, its size, /testbed, and what scripts/install.sh finds missing there.
  def self.configure(machine, hostname)
    machine.vm.hostname = hostname
    machine.vm.box, box_url = box
    machine.vm.box_url = box_url if box_url
    # An emulated machine takes its time.
    machine.vm.boot_timeout = 600
    machine.vm.synced_folder folder, "/testbed", type: "rsync", rsync__exclude: NOT_COPIED
    machine.vm.synced_folder ".", "/vagrant", disabled: true
    machine.vm.provision "shell", name: "scripts/install.sh", inline: "/testbed/scripts/install.sh"
    size(machine)
  end

  def self.size(machine)
    machine.vm.provider("virtualbox") do |box|
      box.cpus = cpus
      box.memory = memory_mib
    end
    return unless libvirt?

    machine.vm.provider("libvirt") { |domain| size_domain(domain) }
  end

  def self.size_domain(domain)
    domain.cpus = cpus
    domain.memory = memory_mib
    domain.driver = driver
    domain.graphics_type = "none"
    domain.video_type = "none"
    return unless driver == "qemu"

    domain.cpu_mode = "custom"
    domain.cpu_model = EMULATED_CPU
    domain.cpu_fallback = "forbid"
    return unless clock == "counted"

    domain.qemuargs value: "-icount"
    domain.qemuargs value: "shift=0,sleep=on"
  end
end

Testbed.check
